"""How much less clips flicker, on scenes whose motion is known exactly: the figures that the project promises.

What stands still changes by at most a quarter of what it does where each frame is restyled by itself; what moves, apart
from its motion, by at most half.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ganart_zoo import Zoo
from ganart_zoo.contract.rng import generator
from ganart_zoo.imaging import load, save
from ganart_zoo.imaging.motion import motion_between
from ganart_zoo.running.stylists import StyleInput
from ganart_zoo.tasks.clip import ClipStylizer

from .scenes import PAN, ROOM, Layer, Shot, moved, scene, still_change, warp_error

pytest.importorskip("cv2", reason="needs the extra video")

FRAMES = 3


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Pictures this small gain nothing from threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with strokes of a few colours."""
    colours = torch.rand(1, 3, 12, 12, generator=generator(7)).round()
    path = tmp_path_factory.mktemp("style") / "style.png"
    save(torch.nn.functional.interpolate(colours, (96, 96), mode="bicubic").clamp(0, 1), path)
    return path


@pytest.fixture(scope="module")
def shots() -> dict[str, list[Shot]]:
    return {"room": scene(ROOM, FRAMES), "pan": scene(PAN, FRAMES)}


@pytest.mark.parametrize(
    ("model", "name", "frames", "settings"),
    [
        ("gatys", "room", 2, {"steps": 30}),
        ("multistyle", "room", 3, {}),
        ("multistyle", "pan", 3, {}),
        ("adain", "room", 3, {}),
        ("adain", "pan", 3, {}),
    ],
)
def test_clips_flicker_less(
    shots: dict[str, list[Shot]],
    style: Path,
    tmp_path: Path,
    model: str,
    name: str,
    frames: int,
    settings: dict[str, Any],
) -> None:
    pytest.importorskip("ganart_gatys" if model == "gatys" else "ganart_faststyle")
    pytest.importorskip("ganart_backbones")
    known = shots[name][:frames]
    (tmp_path / "frames").mkdir()
    for number, shot in enumerate(known):
        save(shot.image.clamp(0, 1), tmp_path / "frames" / f"{number}.png")
    styles = [StyleInput(name="mosaic") if model == "multistyle" else style]
    stylizer = ClipStylizer(Zoo(), model, styles, settings=settings)

    def made(smooth: float) -> list[torch.Tensor]:
        folder = tmp_path / f"smooth{round(100 * smooth)}"
        stylizer.clip(tmp_path / "frames", folder, smooth=smooth)
        return [load(file) for file in sorted(folder.glob("frame*.png"))]

    alone, smooth = made(0), made(0.8)
    assert warp_error(known, smooth) <= 0.5 * warp_error(known, alone)
    if name == "room":
        assert still_change(known, smooth) <= 0.25 * still_change(known, alone)


@pytest.mark.parametrize("name", ["room", "pan"])
def test_the_known_motion_is_found(shots: dict[str, list[Shot]], name: str) -> None:
    """And what is newly seen is not trusted: there the picture of the frame before is wrong."""
    for before, now in zip(shots[name], shots[name][1:], strict=False):
        found = motion_between(before.image.clamp(0, 1), now.image.clamp(0, 1))
        sure = now.seen & (found.valid > 0)
        apart = (found.flow - now.flow).norm(dim=1, keepdim=True)
        assert apart[sure].median() < 0.3
        assert sure.float().mean() > 0.7
        trusted = found.valid * (found.difference < 0.05)
        assert trusted[now.seen].mean() > 2 * trusted[~now.seen].mean()


def test_the_scenes_are_exact() -> None:
    """What was seen before has the colours that the flow says, to what sampling blurs."""
    layers = [Layer(1, speed=(2.0, -1.0)), Layer(2, start=(40, 30), speed=(-3.0, 1.0), radius=14)]
    first, second = scene(layers, 2, 64, 96)
    assert not first.seen.any()
    change = (moved(first.image, second.flow) - second.image).abs().amax(1, keepdim=True)
    assert change[second.seen].max() < 1e-5  # whole pixels, so nothing is blurred
    hidden = ~second.seen[..., 2:-2, 4:-4]
    assert change[..., 2:-2, 4:-4][hidden].mean() > 0.05
