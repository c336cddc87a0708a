"""Times ops at the workloads that they declare or that a run recorded; works without a checkout.

A recorded workload is a line of the file that `GANART_TRACE=shapes.json` writes, see `ganart_zoo.ops.tracing`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.bench.baselines import PEERS
from ganart_zoo.bench.measure import Case, Measured, bytes_of, measure
from ganart_zoo.bench.roofs import Roofs
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.dispatch import NativeOp, registered
from ganart_zoo.ops.tracing import FORMAT

__all__ = ["Workload", "declared", "made", "read_workloads", "replay"]


@dataclass(frozen=True)
class Workload:
    """One call of an op, as data."""

    op: str
    arguments: tuple[Any, ...]
    count: int = 1
    size: str = "recorded"

    @property
    def title(self) -> str:
        """The shapes of its tensors."""
        tensors = [each for each in self.arguments if isinstance(each, dict) and "shape" in each]
        return ", ".join("x".join(map(str, each["shape"])) or "scalar" for each in tensors) or "no tensor"


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


def declared(sizes: Collection[str] = (), *, device: str = "cpu") -> list[Workload]:
    """Return the workloads that the ops declare; register those of plugins first, by importing their modules.

    Args:
        sizes: The names of sizes to take, such as `small`; empty for all.
        device: The type of device to run them on.
    """
    return [
        Workload(op.name, tuple(_on(each, device) for each in arguments), size=size)
        for op in registered().values()
        for size, arguments in op.workloads.items()
        if not sizes or size in sizes
    ]


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
        arguments = tuple(made(each) for each in workload.arguments)
        first = arguments[0]
        if not isinstance(first, Tensor) or (first.device.type == "cuda" and not torch.cuda.is_available()):
            continue
        case = _case(workload, op, arguments, compiled)
        with ops.use("native" if case.native else "reference"):
            yield measure(case, seconds, (roofs or {}).get(case.device))


def _case(workload: Workload, op: NativeOp, arguments: tuple[Any, ...], compiled: bool) -> Case:
    first: Tensor = arguments[0]
    reason = op.why_not(first.device.type, first.dtype) or ""
    candidates: dict[str, Callable[[], Any]] = {"op": lambda: op(*arguments), "eager": lambda: op.reference(*arguments)}
    for name, peer in {**PEERS.get(op.name, {}), **op.peers}.items():
        candidates[name] = peer(*arguments)
    if compiled:
        faster = torch.compile(op.reference, dynamic=False)
        candidates["compile"] = lambda: faster(*arguments)
    return Case(
        name=op.name,
        size=workload.size,
        shape=workload.title,
        dtype=str(first.dtype).removeprefix("torch."),
        device=first.device.type,
        candidates=candidates,
        counted=candidates["eager"],
        moved=bytes_of(arguments),
        count=workload.count,
        native=not reason,
        reason=reason,
    )


def made(value: Any) -> Any:
    """Return an argument as it was described: tensors with the same shape and strides, and normal values."""
    if isinstance(value, list):
        return [made(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "dtype_of" in value:
        return getattr(torch, value["dtype_of"])
    dtype, shape = getattr(torch, value["dtype"]), tuple(value["shape"])
    tensor = torch.empty_strided(shape, tuple(value["strides"]), dtype=dtype, device=value["device"])
    if dtype.is_floating_point:
        return tensor.copy_(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    return tensor.zero_()


def _on(value: Any, device: str) -> Any:
    return {**value, "device": device} if isinstance(value, dict) and "shape" in value else value
