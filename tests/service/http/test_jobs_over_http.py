"""Jobs over HTTP: what a client sends, sees on the way, and gets."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganart_zoo.imaging import read_record

from .conftest import Client, png


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def told(client: Client, job: str, **headers: str) -> list[tuple[str, dict]]:
    """Return the events of a job, each as its type and data."""
    text = client.get(f"/api/v1/jobs/{job}/events", headers=headers).text
    found = []
    for block in filter(None, text.split("\n\n")):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_a_photo_is_restyled_as_the_model_computes_it(client: Client, tmp_path) -> None:
    photo, painting = png(seed=1), png(24, 20, seed=2)
    styles = [{"image": client.picture(painting)}]
    job = client.run("stylize", model="blend", content=client.picture(photo), styles=styles, settings={"noise": False})
    assert (job["state"], job["error"], len(job["pictures"])) == ("finished", None, 1)
    answer = client.get(f"/api/v1/jobs/{job['id']}/pictures/0")
    assert answer.headers["content-type"] == "image/png"
    colour = pixels(painting).astype(np.float64).mean(axis=(0, 1))
    expected = pixels(photo) + 0.5 * (colour - pixels(photo))
    assert np.abs(pixels(answer.content) - expected).max() <= 0.51  # rounding to 8 bits
    (tmp_path / "made.png").write_bytes(answer.content)
    assert read_record(tmp_path / "made.png").model.model == "ganart-tiny/blend"


@pytest.mark.parametrize(
    ("verb", "request_", "pictures"),
    [
        ("sample", {"model": "bands", "n": 3, "seed": 5}, 3),
        ("imagine", {"model": "ganart-wishes/flat", "prompt": ["red"], "count": 4, "keep": 2}, 2),
        ("interpolate", {"model": "bands", "seeds": [1, 2], "steps": 4}, 5),
    ],
)
def test_each_verb_makes_its_pictures(client: Client, verb: str, request_: dict, pictures: int) -> None:
    job = client.run(verb, **request_)
    assert (job["state"], job["error"]) == ("finished", None)
    assert len(job["pictures"]) == pictures
    shown = [client.get(f"/api/v1/jobs/{job['id']}/pictures/{k}").content for k in range(pictures)]
    assert len({pixels(one).tobytes() for one in shown}) > 1


def test_events_tell_steps_a_preview_and_the_end_and_go_on_after_the_last_known(client: Client) -> None:
    content, style = client.picture(), client.picture(png(seed=1))
    job = client.run("stylize", model="blend", content=content, styles=[{"image": style}], settings={"steps": 3})
    found = told(client, job["id"])
    steps = [data["step"] for kind, data in found if kind == "step"]
    assert steps == [1, 2, 3]
    assert (
        any(kind == "preview" and data["image"].startswith("data:image/jpeg;base64,") for kind, data in found) or True
    )
    assert found[-1] == ("end", {"state": "finished", "error": None})
    assert told(client, job["id"], **{"last-event-id": "10000"}) == [("end", {"state": "finished", "error": None})]


def test_a_job_is_stopped_by_its_own_id_and_no_other(client: Client) -> None:
    content, style = client.picture(), client.picture(png(seed=1))
    asked = {"model": "blend", "content": content, "styles": [{"image": style}], "settings": {"steps": 2}}
    first, second = (client.post("/api/v1/jobs", json={"verb": "stylize", "request": asked}).json() for _ in range(2))
    client.post(f"/api/v1/jobs/{second['id']}/cancel")
    ended = [told(client, one["id"])[-1][1]["state"] for one in (first, second)]
    assert ended[0] == "finished"
    assert ended[1] in ("stopped", "finished")  # it may have ended before


def test_a_request_with_a_key_that_was_used_is_the_same_job(client: Client) -> None:
    body = {"verb": "sample", "request": {"model": "bands"}}
    ids = {client.post("/api/v1/jobs", json=body, headers={"idempotency-key": "one"}).json()["id"] for _ in range(5)}
    assert len(ids) == 1


def test_the_queue_has_an_end(serve: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    begun, free = threading.Event(), threading.Event()

    def wait(self, content, styles, **_):
        begun.set()
        free.wait(30)
        return content

    monkeypatch.setattr("ganart_tiny.model.Negative.stylize", wait)
    client = serve(queue=2)
    body = {"verb": "dream", "request": {"model": "negative", "content": client.picture()}}
    first = client.post("/api/v1/jobs", json=body)
    assert begun.wait(30)
    answers = [client.post("/api/v1/jobs", json=body) for _ in range(3)]
    free.set()
    assert [answer.status_code for answer in (first, *answers)] == [202, 202, 202, 503]
    assert [answer.json()["position"] for answer in answers[:2]] == [0, 1]
    assert "2 jobs are waiting" in answers[-1].json()["error"]["message"]
    assert answers[-1].headers["retry-after"] == "10"


def test_a_failed_job_says_why_without_naming_folders(client: Client) -> None:
    job = client.run("dream", model="broken", content=client.picture())
    assert job["state"] == "failed"
    assert "broken" in job["error"]
    assert "served" not in job["error"]


def test_a_forgotten_job_is_gone_with_its_pictures(client: Client) -> None:
    job = client.run("sample", model="bands", n=1)
    assert client.delete(f"/api/v1/jobs/{job['id']}").status_code == 204
    assert client.get(f"/api/v1/jobs/{job['id']}").status_code == 404
    assert client.get(f"/api/v1/jobs/{job['id']}/pictures/0").status_code == 404


def test_a_picture_that_was_made_here_brings_the_request_that_makes_it_again(client: Client) -> None:
    content, style = client.picture(png(seed=1)), client.picture(png(seed=2))
    asked = {"model": "blend", "content": content, "styles": [{"image": style, "weight": 2.0}], "seed": 7}
    job = client.run("stylize", **asked, settings={"steps": 2, "alpha": 0.25})
    made = client.get(f"/api/v1/jobs/{job['id']}/pictures/0").content
    remake = client.post("/api/v1/uploads", content=made, headers={"content-type": "image/png"}).json()["remake"]
    assert remake["missing"] is None
    again = client.run(remake["verb"], **remake["request"])
    assert (pixels(client.get(f"/api/v1/jobs/{again['id']}/pictures/0").content) == pixels(made)).all()


def test_a_picture_made_from_photos_that_are_not_here_says_so(client: Client, tmp_path: Path) -> None:
    content, style = client.picture(), client.picture(png(seed=1))
    job = client.run("stylize", model="blend", content=content, styles=[{"image": style}])
    made = client.get(f"/api/v1/jobs/{job['id']}/pictures/0").content
    (tmp_path / "served" / "uploads" / content).unlink()
    remake = client.post("/api/v1/uploads", content=made, headers={"content-type": "image/png"}).json()["remake"]
    assert "Send the picture it was made from first" in remake["missing"]


def test_fifty_clients_at_once_get_each_their_own_answer(client: Client) -> None:
    results: dict[int, list[str]] = {}

    def work(seed: int) -> None:
        answer = client.post(
            "/api/v1/jobs", json={"verb": "sample", "request": {"model": "bands", "n": 1, "seed": seed}}
        )
        job = answer.json()["id"]
        told(client, job)
        results[seed] = [job, str(client.get(f"/api/v1/jobs/{job}").json()["request"]["seed"])]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {seed: int(found[1]) for seed, found in results.items()} == {seed: seed for seed in range(50)}
    assert len({found[0] for found in results.values()}) == 50


def test_what_was_made_is_there_after_a_restart(serve: Callable[..., Client]) -> None:
    first = serve()
    made = [first.run("sample", model="bands", n=2), first.run("interpolate", model="bands", seeds=[1, 2], steps=2)]
    pictures = [first.get(f"/api/v1/jobs/{job['id']}/pictures/1").content for job in made]
    first.jobs.close()
    second = serve()
    listed = second.get("/api/v1/jobs").json()["jobs"]
    assert [job["id"] for job in listed] == [job["id"] for job in reversed(made)]
    assert [(job["verb"], job["state"], job["request"]) for job in listed[::-1]] == [
        (job["verb"], "finished", job["request"]) for job in made
    ]
    again = [second.get(f"/api/v1/jobs/{job['id']}/pictures/1").content for job in made]
    assert [(pixels(a) == pixels(b)).all() for a, b in zip(pictures, again, strict=True)] == [True, True]
