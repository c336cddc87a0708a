"""`ganart dream` as a user meets it: files, exit codes and messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.cli import main
from ganart_zoo.imaging import read_record

Capture = pytest.CaptureFixture[str]


def run(zoo: Zoo, *arguments: object) -> int:
    return main(["dream", *map(str, arguments), "-m", "negative"], zoo=zoo)


def test_a_dream_is_saved_and_then_skipped(zoo: Zoo, photo: Path, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "out.png"
    assert run(zoo, photo, "-o", output, "--seed", 5) == 0
    assert capsys.readouterr().out.startswith(f"{output}  40×30  ")
    assert (read_record(output).task, read_record(output).seed) == ("dream", 5)
    assert run(zoo, photo, "-o", output, "--seed", 5, "--json") == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["status"] == "skipped"


def test_a_zoom_is_an_animation(zoo: Zoo, photo: Path, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "out.gif"
    assert run(zoo, photo, "-o", output, "--zoom", 3, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["frames"], printed["stopped"], printed["path"]) == (3, False, str(output))
    with Image.open(output) as animation:
        assert animation.n_frames == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "out.gif"), "cannot write '.gif'"),
        (("-o", "out.png", "--zoom", "3"), "cannot write '.png'"),
        (("-o", "out.gif", "--zoom", "1"), "frames is 1"),
        (("-o", "out.gif", "--zoom", "3", "--init", "there.png"), "--zoom and --init were both given"),
        (("more.png", "-o", "out.gif", "--zoom", "3"), "--zoom animates one photo"),
        (("-o", "out.png", "--guide", "there.png"), "takes no picture as a style"),
        (("-o", "out.png", "--size", "big"), "--size is 'big'"),
        (("-o", "out.png", "--set", "layer=3"), "layer"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(zoo, photo, tmp_path, monkeypatch, capsys, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(zoo, photo, *arguments) == 2
    progress = ("ganart: loading negative", "ganart: out.gif", "ganart: out.png")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line not in progress]
    assert message in line
