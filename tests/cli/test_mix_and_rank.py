"""`ganart mix` and `ganart rank` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ganart_shapes.runs import save_run
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.cli import main
from ganart_zoo.imaging import read_record

Capture = pytest.CaptureFixture[str]


def test_a_grid_of_mixtures(shapes: Zoo, tmp_path: Path, capsys: Capture) -> None:
    run = save_run(tmp_path / "run", generator=shapes.create("bands", weights=None))
    output = tmp_path / "mixed.png"
    arguments = ["mix", str(run), "--rows", "0-1", "--columns", "4,6-7", "-o", str(output)]
    assert main([*arguments, "--layers", "0-1"], zoo=shapes) == 0
    assert capsys.readouterr().out.startswith(f"{output}  2 × 3 pictures")
    for layers, message in (("a-b", "--layers is 'a-b'"), ("3-9", "layers are 3-9, expected first-last within 0-3")):
        assert main([*arguments, "-q", "--layers", layers], zoo=shapes) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_the_critic_of_a_run_ranks(shapes: Zoo, tmp_path: Path, capsys: Capture) -> None:
    run = save_run(tmp_path / "run", critic=shapes.create("reddest", weights=None))
    for red in (10, 250):
        Image.new("RGB", (8, 8), (red, 0, 0)).save(tmp_path / f"{red}.png")
    pictures = [str(tmp_path / "10.png"), str(tmp_path / "250.png")]
    assert main(["rank", str(run), *pictures, "-q"], zoo=shapes) == 0
    assert capsys.readouterr().out.split() == ["0.98039", pictures[1], "0.039216", pictures[0]]
    (tmp_path / "10.png").write_bytes(b"no picture")
    assert main(["rank", str(run), *pictures, "-k", "1", "-o", str(tmp_path / "best"), "--json", "-q"], zoo=shapes) == 1
    captured = capsys.readouterr()
    (best,) = json.loads(captured.out)["pictures"]
    assert Path(best["copy"]).name == "01-250.png"
    assert "10.png" in captured.err


def test_a_text_goes_to_all_pictures_of_the_grid(shapes: Zoo, tmp_path: Path, capsys: Capture) -> None:
    run = save_run(tmp_path / "run", generator=shapes.create("lettered", weights=None))
    output = str(tmp_path / "mixed.png")
    arguments = ["mix", str(run), "--rows", "0", "--columns", "1", "--layers", "0", "-o", output, "-q"]
    assert main(arguments, zoo=shapes) == 2
    assert "give a prompt" in capsys.readouterr().err
    assert main([*arguments, "--prompt", "green hat"], zoo=shapes) == 0
    assert read_record(output).request["prompt"] == "green hat"
