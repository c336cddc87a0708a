"""How much memory a computation takes: measured at small sizes, where it takes no time, and fitted for larger ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeGuard

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["MemoryFit", "fit_memory", "peak_bytes"]


def peak_bytes(work: Callable[[], object]) -> int:
    """Run `work` once, and return the most bytes that the tensors it made took at one time.

    What it returns counts; what existed before does not, and neither does scratch memory inside of an operation.
    """
    meter = _Meter()
    with meter:
        work()
    return meter.peak


class _Meter(TorchDispatchMode):
    """Counts the bytes of all tensors that are made under it, as long as they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak: int = 0
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say that nothing here is compiled, or torch imports its compiler for a mode, which takes seconds."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {tensor.untyped_storage().data_ptr() for tensor in tree_leaves((args, kwargs)) if _is_plain(tensor)}
        for tensor in tree_leaves(result):
            if _is_plain(tensor) and (storage := tensor.untyped_storage()).data_ptr() not in given:
                reference = StorageWeakRef(storage)
                self._live[reference.cdata] = reference, storage.nbytes()
        self._live = {key: kept for key, kept in self._live.items() if not kept[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._live.values()))
        return result


def _is_plain(value: object) -> TypeGuard[torch.Tensor]:
    return isinstance(value, torch.Tensor) and value.layout == torch.strided and value.device.type != "meta"


_OVERHEAD = 1.05
"""Resident memory for each byte of tensors: scratch memory of operations, and gaps in a heap that returns what is
freed, as `native.tune_allocator(2**20)` makes it. The peaks of one step of EfficientNet-lite0, VGG19, SqueezeNet and
multistyle were 0.95 to 1.1 times those of their tensors."""


class MemoryFit(NamedTuple):
    """Bytes as a function of the size of what is processed at once."""

    fixed: float
    per_side: float
    """For each pixel of height plus width: margins."""
    per_pixel: float

    def __call__(self, height: int, width: int) -> int:
        """Return the bytes for this size."""
        tensors = self.fixed + self.per_side * (height + width) + self.per_pixel * height * width
        return round(_OVERHEAD * tensors)


def fit_memory(work: Callable[[int], object], sides: tuple[int, int, int] = (144, 256, 384)) -> MemoryFit:
    """Measure `work` at three sizes, and return the parabola through its peaks.

    Args:
        work: Takes a side in pixels, and processes a square of that size.
        sides: Three sides, so large that what does not depend on the size does not prevail.
    """
    peaks = torch.tensor([peak_bytes(partial(work, side)) for side in sides], dtype=torch.float64)
    powers = torch.tensor([[1.0, 2.0 * side, float(side) ** 2] for side in sides], dtype=torch.float64)
    return MemoryFit(*torch.linalg.solve(powers, peaks).tolist())
