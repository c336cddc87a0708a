"""Sums and means over the processes of a training, for networks that compute statistics of the whole batch.

Every process must call them, in the same order, so a network may call them only in train mode.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

__all__ = ["are_several", "mean_over_processes", "sum_over_processes"]


def are_several() -> bool:
    """Return whether this process shares its batches with others."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def sum_over_processes(tensor: Tensor) -> Tensor:
    """Return the sum of every process' tensor, differentiable; alone, the tensor itself."""
    if not are_several():
        return tensor
    total: Tensor = _Sum.apply(tensor)  # type: ignore[no-untyped-call]
    return total


def mean_over_processes(tensor: Tensor) -> Tensor:
    """Return the mean of every process' tensor, differentiable; alone, the tensor itself."""
    return sum_over_processes(tensor) / distributed.get_world_size() if are_several() else tensor


class _Sum(torch.autograd.Function):
    """An all-reduced sum, whose gradient is the sum of every process' gradient."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return sum_over_processes(gradient)
