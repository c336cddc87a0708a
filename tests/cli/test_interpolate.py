"""`ganart interpolate` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ganart_shapes.runs import save_run
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.cli import main


def test_a_gif_from_a_run(shapes: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = save_run(tmp_path / "run", generator=shapes.create("bands", weights=None))
    output = tmp_path / "way.gif"
    arguments = ["interpolate", str(run), "--seeds", "0,1,2", "--frames", "3", "--loop", "-o", str(output)]
    assert main([*arguments, "--json"], zoo=shapes) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 9
    with Image.open(output) as image:
        assert image.n_frames == 9
    assert main([*arguments, "-q"], zoo=shapes) == 2
    assert capsys.readouterr().err == f"ganart: {output}: exists; choose another output, or use --force (force=True)\n"
    assert main([*arguments, "--force", "--seeds", "0,one"], zoo=shapes) == 2
    assert "expected whole numbers" in capsys.readouterr().err
