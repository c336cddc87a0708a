"""`ganart project` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ganart_shapes.runs import save_run
from safetensors.torch import save_file

from ganart_zoo import Zoo
from ganart_zoo.cli import main
from ganart_zoo.imaging import compare_pixels


def test_a_picture_is_found(shapes: Zoo, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = save_run(tmp_path / "run", generator=shapes.create("bands", weights=None))
    arguments = ["project", str(run), str(photo), "-o", str(tmp_path / "found.png"), "--backbone", "pool"]
    plain = ["--side", "16", "--iterations", "5"]
    assert main([*arguments, *plain, "--json"], zoo=shapes) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["steps"], found["record"]["request"]["space"]) == (5, "w")
    assert "step 5/5" in captured.err
    assert (tmp_path / "found.safetensors").exists()
    assert main([*arguments, *plain, "-q", "--rate", "0"], zoo=shapes) == 2
    assert capsys.readouterr().err == "ganart: rate is 0.0, expected more than 0\n"


def test_what_is_found_is_sampled_and_made_again(
    shapes: Zoo, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a generator that is told a text, on features of a user's own weights."""
    run = str(save_run(tmp_path / "run", generator=shapes.create("lettered", weights=None)))
    save_file({"scale": torch.full((1,), 2.0)}, tmp_path / "mine.safetensors")
    found, again = str(tmp_path / "found.png"), str(tmp_path / "again.png")
    judge = ["--backbone", "pool", "--backbone-weights", str(tmp_path / "mine.safetensors"), "--side", "16"]
    arguments = ["project", run, str(photo), "-o", found, *judge, "--iterations", "5", "-q"]
    assert main(arguments, zoo=shapes) == 2
    assert "give a prompt" in capsys.readouterr().err
    assert main([*arguments, "--prompt", "green hat"], zoo=shapes) == 0
    assert main(["reproduce", found, "-q"], zoo=shapes) == 0
    latents = str(tmp_path / "found.safetensors")
    assert main(["sample", run, "--latents", latents, "-o", again, "-q"], zoo=shapes) == 0
    assert compare_pixels(found, again).agree
    assert main(["reproduce", again, "-q"], zoo=shapes) == 0
    way = tmp_path / "way"
    arguments = ["interpolate", run, "--latents", latents, "--frames", "2", "-o", str(way), "-q"]
    assert main([*arguments, "--prompt", "green hat"], zoo=shapes) == 2
    assert "1 seeds were given, expected at least 2" in capsys.readouterr().err
    assert main([*arguments, "--prompt", "green hat", "--seeds", "4"], zoo=shapes) == 0
    assert compare_pixels(found, way / "frame0002.png").agree
    assert main(["reproduce", str(way / "frame0001.png"), "--inputs", str(tmp_path), "-q"], zoo=shapes) == 0
