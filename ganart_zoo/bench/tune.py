"""Finds the instruction set and the number of threads with which the ops of this package run fastest here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from ganart_zoo import native, ops
from ganart_zoo.bench.replay import declared, made
from ganart_zoo.bench.report import geometric_mean
from ganart_zoo.ops.dispatch import registered
from ganart_zoo.tuning import Tuning, fingerprint

__all__ = ["candidates", "tune"]

_WORTH = 0.97
"""A candidate replaces the default only if it takes at most this share of its time: less is chance."""

Choice = tuple[str, int]
"""An instruction set and a number of threads."""


def candidates() -> list[Choice]:
    """Return what can be chosen here; the first is what runs by default."""
    default = str(torch.ops.ganart.use_cpu_isa(""))
    levels = [default, *(each for each in native.introspection().cpu_isa_levels()[::-1] if each != default)]
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = sorted({usable, max(1, usable // 2), torch.get_num_threads()}, key=lambda n: n != torch.get_num_threads())
    return [(level, count) for level in levels for count in threads]


def tune(
    *, seconds: float = 20.0, sizes: Sequence[str] = ("standard",), on_round: Callable[[int], None] | None = None
) -> Tuning:
    """Time the declared workloads of the native ops with each choice, by turns, and return the best one.

    Args:
        seconds: For all rounds together; there are at least three.
        sizes: Names of the sizes of workloads.
        on_round: Called with the number of each round that is done.

    Raises:
        NativeBuildError: There are no kernels, so there is nothing to choose.
    """
    machine = fingerprint()
    calls = list(_calls(sizes))
    choices = candidates()
    best: dict[Choice, list[float]] = {choice: [float("inf")] * len(calls) for choice in choices}
    end, rounds = time.perf_counter() + seconds, 0
    default = choices[0]
    try:
        with torch.no_grad(), ops.use("native"):
            while rounds < 3 or time.perf_counter() < end:
                for choice in choices:
                    _choose(choice)
                    for position, call in enumerate(calls):
                        best[choice][position] = min(best[choice][position], _timed(call))
                rounds += 1
                if on_round is not None:
                    on_round(rounds)
    finally:
        _choose(default)
    means = {choice: geometric_mean(times) for choice, times in best.items()}
    fastest = min(choices, key=lambda choice: means[choice])
    chosen = fastest if means[fastest] <= _WORTH * means[default] else default
    measured = [{"isa": isa, "threads": threads, "seconds": means[isa, threads]} for isa, threads in choices]
    return Tuning(machine, *chosen, measured)


def _calls(sizes: Sequence[str]) -> Iterator[Callable[[], Any]]:
    known = registered()
    for workload in declared(sizes):
        op = known[workload.op]
        if op.name.startswith("ganart::") and op.loaded:
            arguments = tuple(map(made, workload.arguments))
            yield lambda op=op, arguments=arguments: op(*arguments)  # type: ignore[misc]


def _choose(choice: Choice) -> None:
    isa, threads = choice
    torch.ops.ganart.use_cpu_isa(isa)
    torch.set_num_threads(threads)


def _timed(call: Callable[[], Any]) -> float:
    call()  # the caches of this choice's code and threads
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
