"""`ganart project` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ganart_shapes.runs import save_run

from ganart_zoo import Zoo
from ganart_zoo.cli import main


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
