"""Two processes that share each batch learn what one learns alone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from . import one_process, plugin_processes
from .networks import write_npz

HERE = Path(__file__).parent
STEPS = 20


def launch(program: str, *arguments: object) -> None:
    """Run a program in two processes, as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, HERE / program, *map(str, arguments)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in started:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    write_npz(tmp_path / "data.npz", n=37, classes=3)
    arguments = (tmp_path / "data.npz", tmp_path / "two", STEPS)
    launch("one_process.py", *arguments, 7)  # both stop, though only they know when
    launch("one_process.py", *arguments, STEPS + 1)
    one_process.main(tmp_path / "data.npz", tmp_path / "one", STEPS, STEPS + 1)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert [line["step"] for line in one] == [line["step"] for line in two] == list(range(1, STEPS + 1))
    for alone, shared in zip(one, two, strict=True):
        assert alone.keys() == shared.keys()
        for term in alone.keys() - {"step", "seconds", "votes_real", "votes_fake"}:
            assert shared[term] == pytest.approx(alone[term], rel=1e-4), (alone["step"], term)


@pytest.mark.slow
def test_two_processes_are_one_for_every_plugin(tmp_path: Path) -> None:
    # In float64: in float32 rounding puts activations on the other side of their kinks, and the difference grows.
    data = write_npz(tmp_path / "data.npz", n=37, classes=3, size=16)
    launch("plugin_processes.py", data, tmp_path / "two")
    plugin_processes.main(data, tmp_path / "one")
    for pair, (_, _, changes) in plugin_processes.PAIRS.items():
        one, two = losses(tmp_path / "one" / pair), losses(tmp_path / "two" / pair)
        assert len(one) == len(two) == changes.get("steps", STEPS)
        for alone, shared in zip(one, two, strict=True):
            for term in alone.keys() - {"step", "seconds"}:
                assert shared[term] == pytest.approx(alone[term], rel=1e-9, abs=1e-12), (pair, alone["step"], term)
        first, second = (load_file(tmp_path / each / pair / "generator.safetensors") for each in ("one", "two"))
        for name, tensor in first.items():
            torch.testing.assert_close(second[name], tensor, rtol=1e-6, atol=1e-9)
