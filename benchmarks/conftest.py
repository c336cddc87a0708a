"""Fixtures of the benchmarks: roofs probed once, and candidates that take turns under pytest-benchmark's eye."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from types import MappingProxyType
from typing import Any

import pytest
import torch

from ganart_zoo import native
from ganart_zoo.bench import Rivals, Roofs, Row, probe_roofs
from ganart_zoo.bench.measure import summary
from ganart_zoo.bench.roofs import describe_machine

Race = Callable[..., Row]

SECONDS = 1.5
"""For the rounds of one benchmark, all candidates together."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-compile", action="store_true", help="leave out torch.compile, which takes minutes")


@pytest.fixture(scope="session", autouse=True)
def reused_memory() -> None:
    """Let every candidate alike write to memory that is mapped already."""
    roofs_of("cpu")  # first, for its bandwidth into fresh memory
    native.tune_allocator()


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    probed = [asdict(roofs_of(device)) for device in devices()]
    output_json["ganart"] = {"machine": describe_machine(), "roofs": probed}


def devices() -> list[str]:
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", devices())


@cache
def roofs_of(device: str) -> Roofs:
    return probe_roofs(device)


@pytest.fixture
def compiled(request: pytest.FixtureRequest) -> Callable[[Callable[..., Any]], Callable[..., Any] | None]:
    """Return a function to `torch.compile` a baseline for fixed shapes; it returns None under --no-compile."""
    torch._dynamo.reset()
    if request.config.getoption("--no-compile"):
        return lambda _: None
    return lambda baseline: torch.compile(baseline, dynamic=False)


@pytest.fixture
def race(benchmark: Any) -> Race:
    """Return a function that times candidates by turns and records a `Row`, with seconds of others taken `beside`."""

    def run(
        candidates: Mapping[str, Callable[[], object]],
        *,
        device: str = "cpu",
        dtype: str,
        flops: float = 0,
        moved: float = 0,
        images: int = 0,
        beside: Mapping[str, float] = MappingProxyType({}),
        **names: str,
    ) -> Row:
        synchronize = {"synchronize": torch.cuda.synchronize} if device == "cuda" else {}
        rivals = Rivals(candidates, **synchronize)
        once = sum(rivals.take_turns(0, least_rounds=1).values()) * rivals.repeats
        rounds = min(max(5, int(SECONDS / once)), 300)
        benchmark.pedantic(rivals.run_subject, setup=rivals.challenge, rounds=rounds, iterations=1)
        floor = roofs_of(device).floor(flops, moved, dtype) if flops else 0.0
        row = Row(
            **names,
            dtype=dtype,
            device=device,
            flops=flops,
            moved=moved,
            floor=floor,
            seconds={**rivals.best, **beside},
            images=images,
            statistics={name: asdict(summary(taken)) for name, taken in rivals.taken.items()},
        )
        benchmark.extra_info["row"] = asdict(row)
        return row

    return run
