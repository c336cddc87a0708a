"""Calls that an op is timed at, as data which the op declares: tensors by their shapes, everything else as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.tracing import described

__all__ = ["Peers", "Workloads", "check_workloads", "shaped"]

Workloads = Mapping[str, Sequence[Any]]
"""The arguments of a call, by the name of its size: `small` takes microseconds, `standard` is what models do."""

Peers = Mapping[str, Callable[..., Callable[[], object]]]
"""Other people's ways to the same result, by name. Each gets the arguments once and returns the call to time."""


def shaped(*shape: int, dtype: str = "float32", channels_last: bool = False) -> dict[str, Any]:
    """Return the description of a tensor for a workload; it is filled with normal values when it is needed.

    Args:
        shape: Its extents.
        dtype: The name of a type, such as `"bfloat16"`.
        channels_last: Whether channels are adjacent in memory; for `[N, C, H, W]`.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    empty = torch.empty(shape, dtype=getattr(torch, dtype), device="meta", memory_format=layout)
    return {**described(empty), "device": "cpu"}


def check_workloads(op: str, workloads: Workloads) -> None:
    """Refuse workloads that are no lists of arguments, or do not begin with a tensor."""
    for size, arguments in workloads.items():
        first = arguments[0] if isinstance(arguments, Sequence) and arguments else None
        if not (isinstance(first, Mapping) and "shape" in first):
            raise SettingsError(
                f"op {op}: workload {size!r} is {arguments!r:.60}; expected the arguments of a call, the first of them "
                "ops.shaped(...)"
            )
