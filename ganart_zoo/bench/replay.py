"""Times ops at recorded shapes, native kernel against plain PyTorch and torch.compile; works without a checkout.

A workload is a line of the file that `GANART_TRACE=shapes.json` writes, see `ganart_zoo.ops.tracing`.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ganart_zoo import ops
from ganart_zoo.bench.roofs import Roofs
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.dispatch import NativeOp, registered
from ganart_zoo.ops.tracing import FORMAT

__all__ = ["Measured", "Times", "Workload", "read_workloads", "replay", "summary"]

_LEAST_ROUNDS, _MOST_ROUNDS = 7, 200


@dataclass(frozen=True)
class Workload:
    """One call of an op, as data."""

    op: str
    arguments: tuple[Any, ...]
    count: int = 1

    @property
    def title(self) -> str:
        """The shapes of its tensors, and the dtype of the first."""
        tensors = [each for each in self.arguments if isinstance(each, dict) and "shape" in each]
        shapes = ", ".join("x".join(map(str, each["shape"])) or "scalar" for each in tensors)
        return f"{shapes} {tensors[0]['dtype']}" if tensors else "no tensor"


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
class Measured:
    """What was measured of one workload."""

    workload: Workload
    native: bool
    """Whether the op's native kernel ran; otherwise only plain PyTorch was timed, and `reason` says why."""
    reason: str
    seconds: Mapping[str, Times]
    """By candidate: `op`, `eager` (the op's reference) and `compile`."""
    moved: int
    """Bytes of the arguments and results: each read or written once."""
    flops: int
    """Of matrix products and convolutions in the reference; 0 where it has none."""
    peak_memory: int | None
    """Bytes that the op allocated at most; None where it is not known."""
    of_roof: float | None
    """The share of the roof that is reached; None without roofs."""

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


def read_workloads(path: Path) -> list[Workload]:
    """Read a file that `GANART_TRACE` wrote.

    Raises:
        SettingsError: It cannot be read, or has another format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["ganart_trace"] != FORMAT:
            raise SettingsError(f"{path} has the trace format {data['ganart_trace']!r}, expected {FORMAT}")
        return [Workload(str(one["op"]), tuple(one["arguments"]), int(one["count"])) for one in data["calls"]]
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}; GANART_TRACE={path} writes one") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} is no trace of ops ({error!r}); GANART_TRACE={path} writes one") from error


def replay(
    workloads: Iterable[Workload],
    *,
    seconds: float = 0.5,
    compiled: bool = False,
    roofs: Mapping[str, Roofs] | None = None,
) -> Iterator[Measured]:
    """Time each workload, its candidates by turns.

    Args:
        workloads: What to time. Ops that are not registered are passed over: import their plugin first.
        seconds: For the rounds of one workload, all candidates together.
        compiled: Whether to time `torch.compile` of the reference too, which takes long to compile.
        roofs: Of the devices; without them no share of a roof is given.
    """
    known = registered()
    for workload in workloads:
        op = known.get(workload.op)
        if op is None:
            continue
        arguments = tuple(_made(each) for each in workload.arguments)
        first = arguments[0]
        if not isinstance(first, Tensor) or (first.device.type == "cuda" and not torch.cuda.is_available()):
            continue
        yield _measure(workload, op, arguments, seconds, compiled, roofs or {})


def _measure(
    workload: Workload,
    op: NativeOp,
    arguments: tuple[Any, ...],
    seconds: float,
    compiled: bool,
    roofs: Mapping[str, Roofs],
) -> Measured:
    first: Tensor = arguments[0]
    reason = op.why_not(first.device.type, first.dtype) or ""
    candidates: dict[str, Callable[[], Any]] = {"op": lambda: op(*arguments), "eager": lambda: op.reference(*arguments)}
    if compiled:
        faster = torch.compile(op.reference, dynamic=False)
        candidates["compile"] = lambda: faster(*arguments)
    with torch.no_grad(), ops.use("reference" if reason else "native"):
        result = candidates["op"]()
        times = _race(candidates, seconds, first.device.type)
        peak = _peak_memory(candidates["op"], first.device.type)
        with FlopCounterMode(display=False) as counter:
            op.reference(*arguments)
    moved, flops = _bytes(arguments) + _bytes(result), int(counter.get_total_flops())
    roof = roofs.get(first.device.type)
    dtype = str(first.dtype).removeprefix("torch.")
    of_roof = None
    if roof is not None:
        floor = max(moved / roof.bandwidth, flops / roof.peak[dtype] if dtype in roof.peak else 0.0)
        of_roof = floor / times["op"].median
    return Measured(workload, not reason, reason, times, moved, flops, peak, of_roof)


def _race(candidates: Mapping[str, Callable[[], Any]], seconds: float, device: str) -> dict[str, Times]:
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for call in candidates.values():
        call()
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < _LEAST_ROUNDS or (rounds < _MOST_ROUNDS and time.perf_counter() < end):
        for name, call in candidates.items():
            _wait(device)
            start = time.perf_counter()
            call()
            _wait(device)
            taken[name].append(time.perf_counter() - start)
        rounds += 1
    return {name: summary(values) for name, values in taken.items()}


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


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(map(_bytes, value)) if isinstance(value, (list, tuple)) else 0


def _made(value: Any) -> Any:
    """Return an argument as it was recorded: tensors with the same shape and strides, and normal values."""
    if isinstance(value, list):
        return [_made(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "dtype_of" in value:
        return getattr(torch, value["dtype_of"])
    dtype, shape = getattr(torch, value["dtype"]), tuple(value["shape"])
    made = torch.empty_strided(shape, tuple(value["strides"]), dtype=dtype, device=value["device"])
    if dtype.is_floating_point:
        made.copy_(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    else:
        made.zero_()
    return made
