"""Memory falls back after models are released, and does not grow with jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ganart_zoo import Zoo

NEEDS_WEIGHTS = {"ganart-clip/clip", "ganart-diffusers/diffusion"}
"""They have no network of their own: a folder of weights brings it."""


def cycles(count: int) -> dict:
    """Return what memory_cycles printed."""
    command = [sys.executable, "-m", "tests.service.memory_cycles", str(count)]
    found = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


@pytest.mark.parametrize("count", [2])  # `make soak` does 30
def test_memory_falls_back_after_every_model_was_created_called_and_released(count: int) -> None:
    pytest.importorskip("ganart_gatys")
    found = cycles(count)
    first, *later = found["resident"]
    assert max(later) <= 1.05 * first
    assert set(found["left_out"]) <= NEEDS_WEIGHTS, found["left_out"]
    ours = {entry.canonical for entry in Zoo().list() if entry.plugin.distribution.startswith("ganart-")}
    assert len(found["called"]) >= len(ours) - len(NEEDS_WEIGHTS) - 2
