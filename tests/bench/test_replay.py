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

from ganart_zoo import ops
from ganart_zoo.bench.baselines import PEERS
from ganart_zoo.bench.measure import summary
from ganart_zoo.bench.replay import Workload, declared, made, read_workloads, replay
from ganart_zoo.contract import SettingsError
from ganart_zoo.ops import dispatch
from ganart_zoo.ops.dispatch import registered
from ganart_zoo.ops.winograd_conv2d import recovered_weight


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
        assert {"op", "eager"} <= set(one.seconds)
        times = one.seconds["op"]
        assert times.best <= times.low <= times.median <= times.high
        assert times.rounds == 7
        others = {name: times.median for name, times in one.seconds.items() if name != "op"}
        assert one.baseline == min(others, key=lambda name: others[name])
        assert one.peak_memory is None or one.peak_memory > 0
        assert one.cold.best > 0
        data = json.loads(json.dumps(one.data()))
        assert (data["name"], data["count"]) in {("ganart::bias_act", 3), ("ganart::gram_matrix", 1)}
        assert one.row().statistics["ganart"]["median"] == times.median
    (gram,) = (one for one in replay(workloads, seconds=0.0) if one.name == "ganart::gram_matrix")
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


OWN = [name for name in registered() if name.startswith("ganart::")]


@pytest.mark.parametrize("name", OWN)
def test_what_is_timed_computes_the_same(name: str) -> None:
    op = registered()[name]
    assert set(op.workloads) == {"small", "standard"}, f"{name}: declare what ganart bench times it at"
    (workload,) = (each for each in declared({"small"}) if each.op == name)
    arguments = tuple(made(each) for each in workload.arguments)
    if name == "ganart::winograd_conv2d":  # normal values are no transform of any weights
        x, kernel, *rest = arguments
        arguments = (x, ops.winograd_kernel(recovered_weight(kernel, x.shape[1], rest[1])).points, *rest)
    with ops.use("native" if op.loaded else "reference"), torch.no_grad():
        found = _first(op(*arguments))
    scale = found.std() if found.numel() > 1 else found.abs()
    for candidate in (lambda: op.reference(*arguments), *(p(*arguments) for p in PEERS.get(name, {}).values())):
        assert (_first(candidate()) - found).abs().max() < 2e-3 * scale  # Winograd's algorithm errs by 1e-4 of it


def _first(result: object) -> torch.Tensor:
    return result if isinstance(result, torch.Tensor) else result[0]  # type: ignore[index]


def test_a_plugins_op_is_timed_against_the_peers_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_registered", {})
    prepared = []

    def doubled(x: torch.Tensor) -> object:
        prepared.append(x.shape)
        return lambda: x + x

    def broken(x: torch.Tensor) -> object:
        return lambda: x + None

    ops.NativeOp(
        "bench_test::twice",
        reference=lambda x: x * 2,
        library=None,
        missing="left at home",
        workloads={"small": [ops.shaped(2, 3, channels_last=False)], "standard": [ops.shaped(4, 5, dtype="bfloat16")]},
        peers={"sum": doubled, "broken": broken},
    )
    small, standard = declared()
    assert [small.size, standard.size] == ["small", "standard"]
    assert [each.title for each in declared({"standard"})] == ["4x5"]
    (one,) = replay([small], seconds=0.0)
    assert prepared == [torch.Size([2, 3])]
    assert set(one.seconds) == {"op", "eager", "sum"}
    assert "TypeError" in one.failed["broken"]
    assert (one.native, one.reason, one.moved) == (False, "left at home", 2 * 4 * 6)
    assert list(replay([Workload("nobody::knows", ())])) == []


@pytest.mark.parametrize("arguments", [(), (3,), "text", ({"dtype_of": "float32"},)])
def test_workloads_begin_with_a_tensor(arguments: object) -> None:
    with pytest.raises(SettingsError, match=r"workload 'small'.*ops\.shaped"):
        ops.NativeOp("bench_test::x", reference=abs, library=None, workloads={"small": arguments})  # type: ignore[dict-item]
