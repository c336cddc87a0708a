"""Clips on the command line: the fixed words, resuming, and what is refused before the work."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from ganart_zoo import Zoo
from ganart_zoo.cli.commands.stylize import command
from ganart_zoo.imaging.clips import Frame, open_clip, write_clip

pytest.importorskip("av", reason="needs the extra video")
pytest.importorskip("cv2", reason="needs the extra video")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Six frames of a bar that moves."""
    frames = []
    for number in range(6):
        image = torch.full((1, 3, 48, 64), 0.8)
        image[..., 8 * number : 8 * number + 8] = 0.2
        frames.append(Frame(image, Fraction(number, 10)))
    write_clip(iter(frames), tmp_path / "clip.mp4", fps=Fraction(10))
    return tmp_path / "clip.mp4"


def run(zoo: Zoo, *arguments: object):
    return CliRunner().invoke(command, [str(one) for one in arguments], obj=zoo, catch_exceptions=False)


def test_a_clip_becomes_a_clip(zoo: Zoo, clip: Path, painting: Path, tmp_path: Path) -> None:
    shown = run(zoo, clip, "-m", "blend", "--style", painting, "--set", "noise=false", "-o", tmp_path / "out.mp4")
    assert shown.exit_code == 0, shown.output
    assert "6 frames" in shown.output
    found = list(open_clip(tmp_path / "out.mp4").frames())
    assert len(found) == 6
    plain = list(open_clip(clip).frames())
    colour = (2 * found[0].image - plain[0].image).mean(dim=(2, 3))  # half of the style's mean colour is mixed in
    from ganart_zoo.imaging import load

    assert (colour - load(painting).mean(dim=(2, 3))).abs().max() < 0.03


def test_a_folder_of_frames_becomes_a_gif_and_json_says_so(
    zoo: Zoo, clip: Path, painting: Path, tmp_path: Path
) -> None:
    frames = tmp_path / "frames"
    assert run(zoo, clip, "-m", "blend", "--style", painting, "-o", frames).exit_code == 0
    shown = run(zoo, frames, "-m", "blend", "--style", painting, "-o", tmp_path / "out.gif", "--fps", "5", "--json")
    data = json.loads(shown.stdout)
    assert (data["frames"], data["stopped"]) == (6, False)
    assert float(open_clip(tmp_path / "out.gif").fps) == pytest.approx(5)


@pytest.mark.parametrize(
    ("output", "expected"),
    [("out.png", "is one picture"), ("out.avi", "cannot write a clip as"), ("no/out.mp4", "create it first")],
)
def test_outputs_that_do_not_fit_are_refused(
    zoo: Zoo, clip: Path, painting: Path, tmp_path: Path, output: str, expected: str
) -> None:
    from ganart_zoo.contract.errors import GanartError

    with pytest.raises(GanartError, match=expected):
        run(zoo, clip, "-m", "blend", "--style", painting, "-o", tmp_path / output)


def test_two_clips_at_once_are_refused(zoo: Zoo, clip: Path, painting: Path, tmp_path: Path) -> None:
    from ganart_zoo.contract.errors import SettingsError

    with pytest.raises(SettingsError, match="one by one"):
        run(zoo, clip, clip, "-m", "blend", "--style", painting, "-o", tmp_path)
