"""Measures calls that take turns: medians with intervals, warm and cold caches, the most memory held, the FLOPs."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ganart_zoo.bench.report import SUBJECT, Row
from ganart_zoo.bench.roofs import Roofs

__all__ = ["Case", "Measured", "Times", "bytes_of", "measure", "summary"]

_LEAST_ROUNDS, _MOST_ROUNDS, _MOST_COLD_ROUNDS = 7, 200, 15
_CACHE = Path("/sys/devices/system/cpu/cpu0/cache")
_OTHER_CACHE = 64 << 20
"""Bytes to sweep where the system does not say how large the last cache is."""


@dataclass(frozen=True)
class Times:
    """The seconds of one candidate."""

    median: float
    low: float
    """The lower end of a 95 % interval of the median, by order statistics."""
    high: float
    spread: float
    """The interquartile range as a share of the median."""
    best: float
    rounds: int


@dataclass(frozen=True)
class Case:
    """What is timed."""

    name: str
    size: str
    """The name of its size, such as `small`, or where its shape comes from."""
    shape: str
    dtype: str
    device: str
    candidates: Mapping[str, Callable[[], Any]]
    """`op` first, then its baselines by name."""
    counted: Callable[[], Any]
    """The same work through torch's own operations, whose FLOPs can be counted."""
    moved: int
    """Bytes of what is read and written, each once; the result's are added."""
    count: int = 1
    """How often a recorded run called it."""
    native: bool = True
    reason: str = ""


@dataclass(frozen=True)
class Measured:
    """What was measured of one case."""

    name: str
    size: str
    shape: str
    dtype: str
    device: str
    count: int
    native: bool
    """Whether native kernels ran; otherwise only plain PyTorch was timed, and `reason` says why."""
    reason: str
    seconds: Mapping[str, Times]
    """By candidate: `op`, `eager` (plain PyTorch), perhaps `compile`, and peers; caches are warm."""
    cold: Times
    """Of the op, when its data have been driven from the caches before each call."""
    moved: int
    """Bytes that are read or written at least, each once."""
    flops: int
    """Of matrix products and convolutions; 0 where there are none."""
    peak_memory: int | None
    """Bytes that the call allocated at most; None where it is not known."""
    of_roof: float | None
    """The share of the roof that is reached; None without roofs."""
    floor: float = 0.0
    """The least seconds that the roofs allow; 0 without roofs."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Candidates that raised, with the reason; they are not timed."""

    @property
    def baseline(self) -> str:
        """The fastest candidate other than the op."""
        others = [name for name in self.seconds if name != "op"]
        return min(others, key=lambda name: self.seconds[name].median) if others else ""

    @property
    def times_faster(self) -> float | None:
        """How many times faster the op is than the fastest baseline, by medians."""
        return self.seconds[self.baseline].median / self.seconds["op"].median if self.baseline else None

    def data(self) -> dict[str, Any]:
        """Return all of it as JSON data."""
        return {**asdict(self), "baseline": self.baseline, "times_faster": self.times_faster}

    def row(self) -> Row:
        """Return it as a row of a report."""
        times = {SUBJECT if name == "op" else name: asdict(each) for name, each in self.seconds.items()}
        return Row(
            op=self.name,
            group=self.size,
            shape=self.shape,
            dtype=self.dtype,
            device=self.device,
            direction="forward",
            flops=self.flops,
            moved=self.moved,
            floor=self.floor,
            seconds={name: each["best"] for name, each in times.items()},
            statistics=times,
            cold=asdict(self.cold),
            peak_memory=self.peak_memory,
        )


def measure(case: Case, seconds: float, roofs: Roofs | None) -> Measured:
    """Time the candidates of a case by turns, for about `seconds`, and half as long with cold caches.

    A baseline that raises is left out and named in `failed`; the op itself may raise.
    """
    with torch.no_grad():
        result = case.candidates["op"]()
        failed = {name: why for name, call in case.candidates.items() if name != "op" and (why := _failure(call))}
        racing = {name: call for name, call in case.candidates.items() if name not in failed}
        times = _race(racing, seconds, case.device)
        cold = _race_cold(racing["op"], seconds / 2, case.device)
        peak = _peak_memory(racing["op"], case.device)
        with FlopCounterMode(display=False) as counter:
            case.counted()
    moved, flops = case.moved + bytes_of(result), int(counter.get_total_flops())
    floor = 0.0
    if roofs is not None:
        arithmetic = flops / roofs.peak[case.dtype] if case.dtype in roofs.peak else 0.0
        floor = max(moved / roofs.bandwidth, arithmetic)
    return Measured(
        name=case.name,
        size=case.size,
        shape=case.shape,
        dtype=case.dtype,
        device=case.device,
        count=case.count,
        native=case.native,
        reason=case.reason,
        seconds=times,
        cold=cold,
        moved=moved,
        flops=flops,
        peak_memory=peak,
        of_roof=floor / times["op"].median if floor else None,
        floor=floor,
        failed=failed,
    )


def summary(values: Sequence[float]) -> Times:
    """Return the statistics of the times of one candidate.

    The interval holds the median with a probability of about 95 %: its ends are the order statistics whose ranks lie
    1.96 standard deviations of a binomial distribution (p = 1/2) from the middle.

    >>> summary([3.0, 1.0, 2.0, 5.0, 4.0, 6.0, 7.0])
    Times(median=4.0, low=1.0, high=7.0, spread=1.0, best=1.0, rounds=7)
    """
    ordered = sorted(values)
    count = len(ordered)
    half = 1.96 * math.sqrt(count) / 2
    low = ordered[max(0, math.floor(count / 2 - half))]
    high = ordered[min(count - 1, math.ceil(count / 2 + half))]
    lower, _, upper = statistics.quantiles(ordered, n=4) if count > 1 else (ordered[0],) * 3
    median = statistics.median(ordered)
    return Times(median, low, high, (upper - lower) / median, ordered[0], count)


def bytes_of(value: Any) -> int:
    """Return the bytes of the tensors in an argument or a result."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(map(bytes_of, value.values()))
    return sum(map(bytes_of, value)) if isinstance(value, (list, tuple)) else 0


def _failure(call: Callable[[], Any]) -> str:
    try:
        call()
    except Exception as error:  # a compiler raises anything
        return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
    return ""


def _race(candidates: Mapping[str, Callable[[], Any]], seconds: float, device: str) -> dict[str, Times]:
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < _LEAST_ROUNDS or (rounds < _MOST_ROUNDS and time.perf_counter() < end):
        for name, call in candidates.items():
            taken[name].append(_timed(call, device))
        rounds += 1
    return {name: summary(values) for name, values in taken.items()}


def _race_cold(call: Callable[[], Any], seconds: float, device: str) -> Times:
    swept = torch.zeros(2 * _last_cache(device), dtype=torch.uint8, device=device)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < _LEAST_ROUNDS or (len(taken) < _MOST_COLD_ROUNDS and time.perf_counter() < end):
        swept.add_(1)
        taken.append(_timed(call, device))
    return summary(taken)


def _timed(call: Callable[[], Any], device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def _last_cache(device: str) -> int:
    """Return the bytes of the largest cache of a device."""
    if device == "cuda":
        return int(getattr(torch.cuda.get_device_properties("cuda"), "L2_cache_size", _OTHER_CACHE))
    sizes = [each.read_text().strip() for each in _CACHE.glob("index*/size")] if _CACHE.exists() else []
    return max([int(size.removesuffix("K")) << 10 for size in sizes if size.endswith("K")] or [_OTHER_CACHE])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _peak_memory(call: Callable[[], Any], device: str) -> int | None:
    """Return the most bytes that a call held at a time, as torch's allocators report them."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    if torch.autograd.profiler._is_profiler_enabled:  # by --profile, and there is only one
        return None
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        kept = call()
    results = getattr(getattr(profile, "profiler", None), "kineto_results", None)
    if results is None:
        return None
    held = peak = 0
    for event in sorted((e for e in results.events() if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    del kept
    return peak
