"""`ganart export` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ganart_shapes.runs import save_run

from ganart_zoo import Zoo
from ganart_zoo.cli import main


def test_a_run_is_exported_once(shapes: Zoo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = save_run(tmp_path / "run", generator=shapes.create("bands", weights=None))
    arguments = ["export", str(run), str(tmp_path / "bands"), "--no-onnx"]
    assert main([*arguments, "--json"], zoo=shapes) == 0
    found = json.loads(capsys.readouterr().out)
    assert (len(found["files"]), found["onnx_error"]) == (4, None)
    assert main([*arguments, "-q"], zoo=shapes) == 2
    assert capsys.readouterr().err == f"ganart: {tmp_path / 'bands'}: is not empty; choose another folder\n"
