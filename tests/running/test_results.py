"""What a model returns is checked before it is shown or saved, and the plugin is named."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from ganart_shapes.model import Bands, Flat
from ganart_tiny.model import Negative
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError, PluginFaultError, SettingsError
from ganart_zoo.running.arguments import whole
from ganart_zoo.running.environment import reproducible
from ganart_zoo.running.generators import load_generator
from ganart_zoo.running.pictures import describe, read
from ganart_zoo.running.results import ResultError, check_result
from ganart_zoo.tasks.interpolate import interpolate
from ganart_zoo.tasks.mix import mix
from ganart_zoo.tasks.sample import sample
from ganart_zoo.tasks.stylize import stylize

WRONG = {
    "NoneType": None,
    r"\[2, 3, 8, 8\]": torch.zeros(2, 3, 8, 8),
    r"\[1, 1, 8, 8\]": torch.zeros(1, 1, 8, 8),
    "torch.uint8": torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
    "1 of the pictures' 192 values are NaN": torch.zeros(1, 3, 8, 8).index_fill(3, torch.tensor([]).long(), 0),
    r"in 0..255, expected 0..1": torch.linspace(0, 255, 192).view(1, 3, 8, 8),
}
WRONG["1 of the pictures' 192 values are NaN"][0, 0, 0, 0] = torch.nan


@pytest.mark.parametrize("message", WRONG)
def test_what_is_not_pictures_is_refused(message: str) -> None:
    with pytest.raises(ResultError, match=message):
        check_result(WRONG[message], 1)


def test_a_size_that_was_asked_for_is_held(zoo: Zoo, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Negative, "stylize", lambda self, content, *args, **more: content[..., :5, :5])
    with pytest.raises(PluginFaultError, match=r"ganart-tiny.*returned .*\[1, 3, 5, 5\], expected .*30, 40"):
        stylize(zoo, photo, model="negative")


@pytest.mark.parametrize("verb", ["sample", "mix", "interpolate"])
def test_every_verb_names_the_plugin(shapes: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    monkeypatch.setattr(Bands, "synthesize", lambda self, ws, *, rng=None: None)
    generator = load_generator(shapes, "bands", weights=None)
    work = {
        "sample": lambda: sample(generator, 1),
        "mix": lambda: mix(generator, [0], [1], (0, 1)),
        "interpolate": lambda: interpolate(generator, [0, 1], tmp_path / "path.gif", steps=2),
    }
    with pytest.raises(PluginFaultError, match=r"ganart-shapes.*returned NoneType"):
        work[verb]()


def test_clipping_is_warned_of(shapes: Zoo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def signed(self, latents, condition=None, **more):
        return torch.linspace(-1, 1, 192).view(1, 3, 8, 8)

    monkeypatch.setattr(Flat, "forward", signed)
    with caplog.at_level(logging.WARNING, "ganart_zoo"):
        sample(load_generator(shapes, "flat", weights=None), 1)
    assert "45 % of the pictures' values are outside 0..1, from -1 to 1" in caplog.text


def test_an_untrained_model_is_said_to_be_one_and_is_the_same_each_time(
    shapes: Zoo, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(self, config) -> None:
        original(self, config)
        self.scale.data.normal_()

    original = Flat.__init__
    monkeypatch.setattr(Flat, "__init__", drawn)
    before = torch.get_rng_state()
    with caplog.at_level(logging.WARNING, "ganart_zoo"):
        first = load_generator(shapes, "flat").model.scale
        assert "flat has no published weights, so it is untrained" in caplog.text
        caplog.clear()
        torch.rand(3)
        assert torch.equal(load_generator(shapes, "flat", weights=None).model.scale, first)
        assert not caplog.text
    torch.set_rng_state(before)
    created = shapes.create("flat", weights=None, rng=torch.Generator().manual_seed(1)).scale
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(created, first)


def test_the_output_is_checked_before_the_work(zoo: Zoo, photo: Path, tmp_path: Path) -> None:
    def never(event) -> None:
        raise AssertionError("the work began")

    for output in (tmp_path / "x.bmp", tmp_path / "none" / "x.png", photo / "x.png"):
        with pytest.raises(ImageError):
            stylize(zoo, photo, [torch.zeros(1, 3, 16, 16)], output, model="blend", on_step=never)


def test_init_is_refused_where_it_would_be_ignored(zoo: Zoo, photo: Path) -> None:
    with pytest.raises(SettingsError, match="negative cannot start from a given picture"):
        stylize(zoo, photo, model="negative", init=photo)


def test_numbers_may_come_from_json(zoo: Zoo, photo: Path) -> None:
    made = stylize(zoo, photo, model="negative", size="24", seed="3")
    assert (made.images.shape[-1], made.record.seed) == (24, 3)
    for wrong in ("many", 2.5, None, True, float("nan")):
        with pytest.raises(SettingsError, match="size is"):
            whole("size", wrong)


def test_pictures_come_as_bytes_images_and_arrays(photo: Path) -> None:
    expected = read(photo)
    with Image.open(photo) as image:
        array = np.asarray(image.convert("RGB")).copy()
        for picture in (photo.read_bytes(), image.copy(), array):
            assert torch.equal(read(picture), expected)
    assert describe(photo.read_bytes(), "content").sha256 == describe(photo, "content").sha256
    assert describe(array, "content").sha256 == describe(expected, "content").sha256
    for wrong, message in (
        (array.astype(np.float64), "expected uint8"),
        (255 * expected, "has values up to 255; expected 0..1"),
        (3, "int was given"),
    ):
        with pytest.raises(ImageError, match=message):
            read(wrong)


def test_overlapping_calls_leave_the_settings_of_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn = torch.backends.cudnn
    before = (cudnn.benchmark, cudnn.deterministic)
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with reproducible():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with reproducible():
        thread.start()
        assert inside.wait(10)
    assert cudnn.deterministic  # the other one still runs
    leave.set()
    thread.join()
    assert (cudnn.benchmark, cudnn.deterministic) == before
