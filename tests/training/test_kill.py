"""A run killed ten times at random moments ends in the weights of one that was left alone, bit by bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from ganart_zoo.contract import load_tensors
from ganart_zoo.training.checkpoint import Checkpoints

PROGRAM = Path(__file__).with_name("killed_run.py")


def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, PROGRAM, tmp_path], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["kills"] == 10
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for name in ("generator.safetensors", "critic.safetensors"):
        one, other = load_tensors(killed / name), load_tensors(whole / name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    for one, other in zip(
        *(Checkpoints(run / "checkpoints", 2).steps().items() for run in (killed, whole)), strict=True
    ):
        assert one[0] == other[0]
        (here, _), (there, _) = (Checkpoints.load(path) for _, path in (one, other))
        assert all(torch.equal(here[key], there[key]) for key in here)  # optimizers and averages too
    logged = [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (killed, whole)
    ]
    assert [line["step"] for line in logged[0]] == [line["step"] for line in logged[1]]
    # a line averages over the steps since the last, of which a kill may have taken some
    agreeing = sum(one["critic"] == other["critic"] for one, other in zip(*logged, strict=True))
    assert agreeing >= len(logged[0]) - 10
