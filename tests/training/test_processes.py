"""Two processes that share each batch learn what one learns alone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .networks import write_npz
from .one_process import main

PROGRAM = Path(__file__).with_name("one_process.py")
STEPS = 20


def run(folder: Path, stop_at: int = STEPS + 1) -> None:
    """Train in two processes, as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, PROGRAM, folder.parent / "data.npz", folder, str(STEPS), str(stop_at)]
    started = [
        subprocess.Popen(
            arguments,
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
    run(tmp_path / "two", stop_at=7)  # both stop, though only they know when
    run(tmp_path / "two")
    main(tmp_path / "data.npz", tmp_path / "one", STEPS, STEPS + 1)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert [line["step"] for line in one] == [line["step"] for line in two] == list(range(1, STEPS + 1))
    for alone, shared in zip(one, two, strict=True):
        assert alone.keys() == shared.keys()
        for term in alone.keys() - {"step", "seconds", "votes_real", "votes_fake"}:
            assert shared[term] == pytest.approx(alone[term], rel=1e-4), (alone["step"], term)
