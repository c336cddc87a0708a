"""The verb `dream`: pictures with records that are made again, zooms frame by frame, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError, SettingsError, StepEvent
from ganart_zoo.imaging import load, read_record, save
from ganart_zoo.tasks.dream import Dreamer, dream, zoom
from ganart_zoo.tasks.reproduce import reproduce

from ..contract.toys import ZOO as TOYS

TOY = {"model": "dream", "settings": {"steps": 4}}


@pytest.fixture
def waves(tmp_path: Path) -> Path:
    """A smooth picture of 33×40 pixels."""
    across = torch.arange(40) / 40
    down = torch.arange(33)[:, None] / 33
    picture = torch.stack([across.expand(33, 40), down.expand(33, 40), (across + down) / 2])[None]
    save(picture, tmp_path / "waves.png")
    return tmp_path / "waves.png"


def test_a_dream_is_what_the_model_computes_and_says_so_in_its_record(zoo: Zoo, photo: Path, tmp_path: Path) -> None:
    made = dream(zoo, photo, tmp_path / "out.png", model="negative", seed=3)
    torch.testing.assert_close(made.images, 1 - load(photo))
    record = read_record(tmp_path / "out.png")
    assert (record.task, record.seed, record.model.model) == ("dream", 3, "ganart-tiny/negative")
    assert [one.role for one in record.inputs] == ["content"]


def test_a_dream_is_made_again_from_its_record(zoo: Zoo, photo: Path, tmp_path: Path) -> None:
    made = dream(zoo, photo, photo.parent / "out.png", model="negative", size=24)
    assert reproduce(zoo, made.path).pixels.agree


def test_a_guide_is_an_input(waves: Path, tmp_path: Path) -> None:
    record = dream(TOYS, waves, guides=[torch.rand(1, 3, 20, 20)], **TOY).record
    assert [one.role for one in record.inputs] == ["content", "style 1"]


def test_stopping_keeps_the_best_so_far(waves: Path) -> None:
    made = dream(TOYS, waves, on_step=lambda event: event.step < 2, **TOY)
    assert made.stopped
    assert made.record.request["stopped_at"] == 2


def test_a_zoom_enlarges_the_centre_from_frame_to_frame(zoo: Zoo, waves: Path, tmp_path: Path) -> None:
    """`negative` inverts each frame, so every other frame is the photo, enlarged twice as often."""
    made = zoom(zoo, waves, tmp_path / "out.gif", model="negative", frames=3, rate=1.25, fps=10)
    assert (made.frames, made.stopped) == (3, False)
    with Image.open(made.path) as animation:
        assert (animation.n_frames, animation.size, animation.info["loop"]) == (3, (40, 33), 0)
        animation.seek(2)
        shown = np.asarray(animation.convert("RGB")) / 255
    # the inner 0.64 of each side of a ramp from 0 to 1, inverted three times
    ramp = 1 - (0.18 + 0.64 * (np.arange(40) + 0.5) / 40)
    assert np.abs(shown[16, 4:-4, 0] - ramp[4:-4]).max() < 0.06


def test_a_zoom_counts_all_steps_and_stops(waves: Path, tmp_path: Path) -> None:
    events: list[StepEvent] = []

    def on_step(event: StepEvent) -> bool:
        events.append(event)
        return event.step < 7

    made = zoom(TOYS, waves, tmp_path / "out.gif", frames=5, frame_steps=2, on_step=on_step, **TOY)
    assert (made.frames, made.stopped) == (3, True)
    assert [event.step for event in events] == list(range(1, 8))
    assert {event.total for event in events} == {4 + 4 * 2}
    assert [event.phase for event in events][3:5] == ["frame 1 of 5", "frame 2 of 5"]
    with Image.open(made.path) as animation:
        assert animation.n_frames == 3


def test_mp4_frames_have_even_sides(zoo: Zoo, waves: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    made = zoom(zoo, waves, tmp_path / "out.mp4", model="negative", frames=2)
    assert made.path.stat().st_size > 0


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"frames": 1}, SettingsError, "frames is 1, expected at least 2"),
        ({"rate": 0.5}, SettingsError, "rate is 0.5, expected 1 to 2"),
        ({"frame_steps": 0}, SettingsError, "frame_steps is 0"),
        ({"fps": 0}, SettingsError, "fps is 0"),
        ({"output": "out.png"}, ImageError, r"cannot write '\.png'; end the name with one of \.gif, \.mp4"),
        ({"output": "there.gif"}, SettingsError, "exists; choose another output"),
        ({"output": "none/out.gif"}, ImageError, "there is no such folder"),
    ],
)
def test_a_zoom_refuses_what_does_not_fit(zoo, waves, tmp_path, more, error, message) -> None:
    (tmp_path / "there.gif").touch()
    settings = {"model": "negative", "frames": 2, **more}
    with pytest.raises(error, match=message):
        zoom(zoo, waves, tmp_path / settings.pop("output", "out.gif"), **settings)


def test_models_that_need_a_style_cannot_dream(zoo: Zoo) -> None:
    with pytest.raises(SettingsError, match=r"ganart-tiny/blend needs a style, so it cannot dream; see ganart list"):
        Dreamer(zoo, "blend")
    with pytest.raises(SettingsError, match="takes no picture as a style"):
        Dreamer(zoo, "negative", [torch.rand(1, 3, 20, 20)])
