"""Commands that compute load torch quickly, and set up the allocator before they load anything large."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ganart_shapes.runs import save_run

from ganart_zoo import GanartError, Zoo, native
from ganart_zoo.cli import main


class TunedError(GanartError):
    """Raised where the allocator would be set up: no test may change that of its process."""


@pytest.mark.parametrize("command", ["stylize", "sample", "reproduce", "rank", "train"])
def test_it_is_set_up_first(command, shapes: Zoo, photo, painting, tmp_path: Path, monkeypatch, capsys) -> None:
    def tune_allocator() -> bool:
        raise TunedError("tuned")

    monkeypatch.setattr(native, "tune_allocator", tune_allocator)
    run = str(save_run(tmp_path / "run", critic=shapes.create("reddest", weights=None)))
    output = str(tmp_path / "out.png")
    arguments = {
        "stylize": [str(photo), "--model", "blend", "--style", str(painting), "-o", output],
        "sample": ["bands", "--weights", "none", "-o", output],
        "reproduce": [str(photo)],
        "rank": [run, str(photo)],
        "train": [
            "--generator",
            "bands",
            "--critic",
            "reddest",
            "--data",
            str(tmp_path),
            "--out",
            str(tmp_path / "new"),
        ],
    }[command]
    assert main([command, *arguments], zoo=shapes) == 2
    assert capsys.readouterr().err.endswith("tuned\n")


@pytest.mark.parametrize("collecting", [True, False])
def test_torch_is_imported_without_collecting_garbage(collecting: bool) -> None:
    """In a process of its own: the collector is then as it was, and leaves out what the import created."""
    program = f"""
import gc
{"" if collecting else "gc.disable()"}
from ganart_zoo.cli.loading_torch import load_torch
before = sum(generation["collections"] for generation in gc.get_stats())
load_torch()
assert gc.isenabled() is {collecting}
assert gc.get_freeze_count() > 100_000, gc.get_freeze_count()
assert sum(generation["collections"] for generation in gc.get_stats()) - before < 20
"""
    subprocess.run([sys.executable, "-c", program], check=True)
