"""What a stranger may not do: read files, reach other servers, exhaust memory, or use a page of another site."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from urllib.parse import quote

import pytest
from PIL import Image

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.service.http import ServeSettings

from .conftest import Client, png


def message(answer) -> str:
    return answer.json()["error"]["message"]


def submit(client: Client, verb: str = "stylize", **request):
    return client.post("/api/v1/jobs", json={"verb": verb, "request": request})


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "file:///etc/passwd", "https://example.org/a.png"])
def test_a_picture_is_never_a_path_or_an_address(client: Client, path: str) -> None:
    content = client.picture()
    for request in (
        {"content": path, "styles": [{"image": content}]},
        {"content": content, "styles": [{"image": path}]},
        {"content": content, "styles": [{"image": content, "region": path}]},
    ):
        answer = submit(client, model="blend", **request)
        assert answer.status_code == 422
        assert "root:" not in answer.text


@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": {"model": "pool", "weights": "/etc/passwd"}},
        {"backbone": "/etc/passwd"},
        {"backbone": "hub:someone/something"},
        {"steps": 10**12},
        {"title": "x" * 10_000},
        {"layers": ["a"] * 1000},
        {"title": "/etc/passwd"},
        {"title": "~/.ssh/id_rsa"},
        {"title": "../../secret"},
    ],
    ids=str,
)
def test_settings_name_no_file_and_have_bounds(client: Client, settings: dict) -> None:
    content = client.picture()
    answer = submit(client, model="blend", content=content, styles=[{"image": content}], settings=settings)
    assert answer.status_code == 422
    assert "root:" not in answer.text


@pytest.mark.parametrize("weights", ["/etc/passwd", "hub:a/b", "nowhere", "../x"])
def test_weights_are_variants_alone(client: Client, weights: str) -> None:
    content = client.picture()
    answer = submit(client, model="blend", content=content, styles=[{"image": content}], weights=weights)
    assert answer.status_code == 422


@pytest.mark.parametrize("name", ["nowhere", "../blend", "/etc", "blend\n"])
def test_models_are_those_of_the_list(client: Client, name: str) -> None:
    assert submit(client, "dream", model=name, content=client.picture()).status_code == 422


def test_an_allow_list_hides_all_other_models(serve: Callable[..., Client]) -> None:
    client = serve(models=("negative",))
    assert [model["name"] for model in client.get("/api/v1/describe").json()["models"]] == ["negative"]
    content = client.picture()
    answer = submit(client, model="blend", content=content, styles=[{"image": content}])
    assert answer.status_code == 422
    assert "is not one that this server offers" in message(answer)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        b"<html><script>alert(1)</script></html>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) run",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        png()[:-40],
        b"GIF89a" + b"\xff" * 64,
        b"II*\0" + b"\xff" * 64,
    ],
    ids=["empty", "svg", "html", "eps", "broken png", "cut short", "broken gif", "broken tiff"],
)
def test_only_pictures_are_kept(client: Client, data: bytes, tmp_path) -> None:
    answer = client.post("/api/v1/uploads", content=data, headers={"content-type": "image/png"})
    assert answer.status_code == 422
    assert not list((tmp_path / "served" / "uploads").iterdir())


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "ICO"])
def test_damaged_pictures_end_in_one_line(client: Client, form: str, tmp_path) -> None:
    stream = io.BytesIO()
    Image.open(io.BytesIO(png(24, 20))).save(stream, form)
    sound, draw = stream.getvalue(), random.Random(7)
    for attempt in range(24):
        damaged = bytearray(sound)
        for _ in range(draw.randint(1, 8)):
            # headers decide most, so half of the damage is there
            damaged[draw.randrange(min(64, len(damaged)) if draw.random() < 0.5 else len(damaged))] = draw.randrange(
                256
            )
        cut = draw.randrange(len(damaged)) if attempt % 4 == 0 else len(damaged)
        answer = client.post("/api/v1/uploads", content=bytes(damaged[:cut]), headers={"content-type": "image/png"})
        assert answer.status_code in (201, 422), answer.text
        if answer.status_code == 422:
            assert len(message(answer).splitlines()) == 1
            assert str(tmp_path) not in answer.text


@pytest.mark.parametrize("more", [b"<script>alert(1)</script>", b"<?php system('id'); ?>", b"PK\x03\x04" + b"\0" * 26])
def test_what_follows_a_picture_goes_nowhere(client: Client, more: bytes) -> None:
    content = client.picture(png() + more)
    done = client.run("dream", model="negative", content=content)
    answer = client.get(f"/api/v1/jobs/{done['id']}/pictures/0")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert more not in answer.content


def test_nothing_of_a_request_becomes_a_header(client: Client) -> None:
    content = client.picture()
    evil = "a\r\nSet-Cookie: stolen=1"
    answers = [
        client.post(
            "/api/v1/jobs",
            json={"verb": "dream", "request": {"model": "negative", "content": content}},
            headers={"idempotency-key": "k" * 5000},
        ),
        client.get("/api/v1/jobs/" + quote(evil)),
        client.get("/static/" + quote(evil)),
        client.get("/api/v1/uploads/x/styled", params={"model": evil, "style": evil}),
        client.post("/api/v1/jobs", json={"verb": evil, "request": {}}),
    ]
    assert all(400 <= answer.status_code < 500 for answer in answers)
    assert not any("set-cookie" in answer.headers for answer in answers)


def test_a_model_that_returns_nan_fails_alone(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    content = client.picture()
    with monkeypatch.context() as patch:
        patch.setattr("ganart_tiny.model.Negative.stylize", lambda self, content, styles, **_: content * float("nan"))
        failed = client.run("dream", model="negative", content=content)
    assert failed["state"] == "failed"
    assert "NaN" in failed["error"]
    assert client.run("dream", model="negative", content=content)["state"] == "finished"


def test_a_decompression_bomb_is_refused_before_it_is_decoded(client: Client) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    answer = client.post("/api/v1/uploads", content=bomb, headers={"content-type": "image/png"})
    assert answer.status_code == 422
    assert "declares 60000×60000 pixels" in message(answer)


def test_bodies_have_a_limit_with_and_without_their_length(serve: Callable[..., Client]) -> None:
    client = serve(upload_bytes=10_000, request_bytes=1000)
    declared = client.post("/api/v1/uploads", content=b"x" * 20_000, headers={"content-type": "image/png"})
    chunked = client.post("/api/v1/uploads", content=iter([b"x" * 4000] * 5), headers={"content-type": "image/png"})
    large = client.post("/api/v1/jobs", json={"verb": "sample", "request": {"prompt": "x" * 2000}})
    assert [answer.status_code for answer in (declared, chunked, large)] == [413, 413, 413]


@pytest.mark.parametrize("depth", [50, 20_000])
def test_deep_json_is_refused(client: Client, depth: int) -> None:
    body = '{"verb":"sample","request":{"settings":{"a":' + "[" * depth + "]" * depth + "}}}"
    answer = client.post("/api/v1/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""])
def test_a_name_that_was_rebound_to_this_machine_is_refused(client: Client, host: str) -> None:
    answer = client.get("/api/v1/describe", headers={"host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
def test_pages_of_other_sites_change_nothing(client: Client, headers: dict[str, str]) -> None:
    answer = client.post("/api/v1/uploads", content=png(), headers={"content-type": "image/png", **headers})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert (
        client.post(
            "/api/v1/uploads", content=png(), headers={"content-type": "image/png", "origin": "http://127.0.0.1:8000"}
        ).status_code
        == 201
    )


def test_a_server_that_others_reach_asks_for_a_token(serve: Callable[..., Client], tmp_path) -> None:
    assert ServeSettings(folder=tmp_path, host="0.0.0.0").token is not None
    with pytest.raises(SettingsError, match="at least 16"):
        ServeSettings(folder=tmp_path, token="short")
    client = serve(token="0123456789abcdef")
    assert client.get("/api/v1/describe").status_code == 401
    assert client.get("/api/v1/describe", headers={"authorization": "Bearer 0123456789abcdeg"}).status_code == 401
    assert client.get("/metrics").status_code == 401
    assert client.get("/api/v1/describe", headers={"authorization": "Bearer 0123456789abcdef"}).status_code == 200
    assert client.get("/").status_code == 200  # the page has nothing in it, and asks for the token


def test_a_client_that_asks_too_often_waits(serve: Callable[..., Client]) -> None:
    client = serve(rate=5)
    answers = [client.get("/api/v1/jobs") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60


def test_every_answer_has_the_headers_that_confine_a_page(client: Client) -> None:
    for path in ("/", "/static/main.js", "/api/v1/jobs", "/nowhere", "/api/v1/jobs/0123456789abcdef"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


@pytest.mark.parametrize("name", ["..%2f..%2fsettings.py", "%2e%2e/index.html", "nowhere.js", "app.py"])
def test_no_file_but_those_of_the_page_is_served(client: Client, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_sizes_and_counts_have_limits(serve: Callable[..., Client]) -> None:
    client = serve(size=64, count=8)
    content = client.picture()
    large = submit(client, model="blend", content=content, styles=[{"image": content}], size=65)
    many = submit(client, "sample", model="bands", n=9)
    assert "at most 64 pixels" in message(large)
    assert "at most 8" in message(many)


def test_uploads_are_deleted_when_there_are_too_many(serve: Callable[..., Client], tmp_path) -> None:
    one = png(seed=0)
    client = serve(stored_bytes=3 * len(one))
    for seed in range(6):
        client.picture(png(seed=seed))
    kept = sum(file.stat().st_size for file in (tmp_path / "served" / "uploads").iterdir())
    assert kept <= 3 * len(one) + 200


def test_metrics_count_requests_and_jobs(client: Client) -> None:
    client.run("sample", model="bands", n=1)
    client.get("/api/v1/nowhere")
    text = client.get("/metrics").text
    assert 'ganart_jobs{state="finished"} 1.0' in text
    assert 'ganart_requests_total{method="POST",route="/api/v1/jobs",status="202"} 1.0' in text


def test_picture_metadata_is_not_run_or_shown(client: Client) -> None:
    stream = io.BytesIO()
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("ganart", '{"record_version": 1, "model": "<script>alert(1)</script>"}')
    Image.new("RGB", (20, 20)).save(stream, "PNG", pnginfo=info)
    answer = client.post("/api/v1/uploads", content=stream.getvalue(), headers={"content-type": "image/png"})
    assert (answer.status_code, answer.json()["remake"]) == (201, None)
