"""Requests of strangers: names of models and bounded numbers alone, and messages that tell nothing of the machine."""

from __future__ import annotations

from pathlib import Path

import ganart_shapes
import ganart_tiny
import pytest
import torch

from ganart_zoo import GanartError, Zoo
from ganart_zoo.contract.errors import ImageError, WeightsMissingError
from ganart_zoo.service import Jobs, UntrustedPolicy, message_for_users

PICTURE = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def jobs():
    with Jobs(Zoo(plugins=[ganart_tiny, ganart_shapes]), untrusted=UntrustedPolicy(pictures=8, items=10)) as jobs:
        yield jobs


def blend(jobs: Jobs, **more):
    return jobs.submit("stylize", **{"content": PICTURE, "styles": [PICTURE.flip(3)], "model": "blend", **more})


def test_what_a_stranger_may_ask_for_runs(jobs, photo):
    bytes_ = photo.read_bytes()
    assert blend(jobs, content=bytes_, styles=[{"image": bytes_}, PICTURE]).result(60).images.shape == (1, 3, 30, 40)
    settings = {"steps": 2, "layers": ["blocks"], "backbone": {"model": "pool", "block": 8}}
    blend(jobs, settings=settings).result(60)
    jobs.submit("sample", model="bands", n=4, settings={"resolution": 16}).result(60)
    jobs.submit("imagine", model="bands", critics=["reddest"], count=4).result(60)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"content": "/etc/passwd"}, "content names a file"),
        ({"styles": [{"image": "a.png"}]}, "styles names a file"),
        ({"output": "x.png"}, "output is not allowed"),
        ({"device": "cuda"}, "device is not allowed"),
        ({"fetch": True}, "fetch is not allowed"),
        ({"model": Path("/tmp")}, "expected the name of an installed model"),
        ({"weights": "/etc/passwd"}, "weights '/etc/passwd' are not allowed"),
        ({"weights": None}, "weights None are not allowed"),
        ({"settings": {"backbone": {"model": "pool", "weights": "/etc/passwd"}}}, "are not allowed here"),
        ({"settings": {"backbone": {"model": "pool", "part": "x"}}}, "part"),
        ({"settings": {"backbone": {"model": "pool", "block": 3, "backbone": 1}}}, "no setting 'backbone'"),
        ({"settings": {"backbone": 3}}, "expected a name"),
        ({"settings": {"title": "../../secret"}}, "looks like a file"),
        ({"settings": {"layers": ["a"] * 11}}, "more than 10 items"),
        ({"settings": {"grain": {"size": 10**9}}}, "expected at most 2048"),
        ({"settings": {"layer_weights": {"a": 1e300}}}, "expected at most 10000"),
        ({"settings": {"steps": 1e9}}, "expected at most 1000"),
        ({"size": 10**6}, "expected at most 2048"),
        ({"model": "x" * 10**6}, "expected the name of an installed model"),
    ],
)
def test_what_a_stranger_may_not_ask_for_is_refused_in_a_short_line(jobs, more, message):
    with pytest.raises(GanartError, match=message) as caught:
        blend(jobs, **more)
    assert len(str(caught.value)) < 300
    assert len(jobs) == 0


@pytest.mark.parametrize(
    "request_",
    [
        {"task": "train", "generator": "flat", "critic": "reddest", "data": "x", "folder": "y"},
        {"task": "reproduce", "picture": "x.png"},
        {"task": "rank", "model": "reddest", "pictures": ["/etc"]},
        {"task": "sample", "model": "bands", "n": 9},
        {"task": "sample", "model": "bands", "n": 1, "latents": "/etc/passwd"},
        {"task": "sample", "model": "bands", "settings": {"resolution": 4096}},
        {"task": "mix", "model": "bands", "rows": [1, 2, 3], "columns": [1, 2, 3], "layers": [0, 1]},
        {"task": "interpolate", "model": "bands", "seeds": [1, 2], "steps": 1000},
        {"task": "imagine", "model": "bands", "critics": [{"model": "reddest", "settings": {"weights": "/etc/x"}}]},
        {"task": "project", "model": "bands", "picture": PICTURE, "backbone": {"model": "pool", "weights": "/x"}},
    ],
)
def test_verbs_and_amounts_are_bounded(jobs, request_):
    with pytest.raises(GanartError):
        jobs.submit(**request_)
    assert len(jobs) == 0


def test_only_the_models_that_are_offered(shapes):
    with Jobs(shapes, untrusted=UntrustedPolicy(models=["bands"])) as jobs:
        jobs.submit("sample", model="ganart-shapes/bands", n=1).result(60)
        with pytest.raises(GanartError, match="not offered here"):
            jobs.submit("sample", model="flat", n=1)


def test_create_applies_the_policy(zoo):
    assert zoo.create("blend", trusted=False) is not None
    with pytest.raises(GanartError, match="not allowed"):
        zoo.create("blend", trusted=False, backbone={"model": "pool", "weights": "/etc/passwd"})
    with pytest.raises(GanartError, match="not allowed"):
        zoo.create("blend", trusted=False, fetch=True)


def test_messages_for_users_name_no_folder_of_the_server_and_no_internals():
    error = WeightsMissingError("/root/.cache/ganart-zoo/weights/ab/net.safetensors is missing; fetch http://x.org/a/b")
    assert message_for_users(error) == "net.safetensors is missing; fetch http://x.org/a/b"
    assert message_for_users(ImageError("/srv/up loads/a.png: no\nfile")).count("/srv") == 0
    assert message_for_users(RuntimeError("/root/secret")) == "an internal error (RuntimeError)"


def test_messages_repeat_nothing_of_a_file(zoo, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("root:x:0:0")
    with pytest.raises(GanartError) as caught:
        zoo.create("pool", weights=secret)
    assert "root:x" not in str(caught.value)
