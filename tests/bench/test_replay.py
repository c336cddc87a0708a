"""Calls of ops are recorded as data, and replayed and timed at the same shapes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ganart_zoo.bench.replay import read_workloads, replay, summary
from ganart_zoo.contract import SettingsError


def test_a_run_records_its_calls_and_they_can_be_replayed(tmp_path: Path) -> None:
    trace = tmp_path / "shapes.json"
    code = """
import torch
from ganart_zoo import ops
x = torch.randn(2, 8, 9, 7).contiguous(memory_format=torch.channels_last)
for _ in range(3):
    ops.bias_act(x, torch.randn(8))
ops.gram_matrix(torch.randn(1, 4, 6, 6))
"""
    environment = {**os.environ, "GANART_TRACE": str(trace), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    workloads = read_workloads(trace)
    assert {(one.op, one.count) for one in workloads} == {("ganart::bias_act", 3), ("ganart::gram_matrix", 1)}
    first = workloads[0].arguments[0]
    assert (first["shape"], first["dtype"]) == ([2, 8, 9, 7], "float32")
    assert first["strides"] == list(torch.empty(2, 8, 9, 7).to(memory_format=torch.channels_last).stride())
    for one in replay(workloads, seconds=0.0):
        assert set(one.seconds) == {"op", "eager"}
        times = one.seconds["op"]
        assert times.best <= times.low <= times.median <= times.high
        assert times.rounds == 7
        assert one.baseline == "eager"
        assert one.peak_memory is None or one.peak_memory > 0
        assert json.loads(json.dumps(one.data()))["workload"]["op"] == one.workload.op
    (gram,) = (one for one in replay(workloads, seconds=0.0) if one.workload.op == "ganart::gram_matrix")
    assert gram.moved == 4 * (4 * 36 + 16)
    assert gram.flops == 2 * 4 * 4 * 36


def test_the_statistics_are_those_of_numpy_and_the_interval_holds_the_median() -> None:
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        values = generator.exponential(size=31)
        found = summary(values.tolist())
        assert found.median == pytest.approx(np.median(values))
        assert found.best == values.min()
        inside += found.low <= np.log(2) <= found.high  # the median of the exponential distribution
    assert 0.93 <= inside / 400 <= 0.995


@pytest.mark.parametrize("text", ["", "{}", '{"ganart_trace": 2, "calls": []}', '{"ganart_trace": 1, "calls": [{}]}'])
def test_what_is_no_trace_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "shapes.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"shapes\.json"):
        read_workloads(path)
    with pytest.raises(SettingsError, match="GANART_TRACE="):
        read_workloads(tmp_path / "none.json")
