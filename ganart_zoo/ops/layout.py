"""The memory layout of a native op's result, which torch.compile and opcheck need without running the op."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["like_features", "result_format"]


def like_features(x: Tensor) -> Tensor:
    """Return an uninitialised result of x's shape and type, in its layout."""
    return torch.empty_like(x, memory_format=result_format(x))


def result_format(x: Tensor) -> torch.memory_format:
    """Return the dense layout of a result for features `x`, by the same rule as csrc/bindings/support.cpp."""
    if x.dim() != 4 or x.numel() == 0:
        return torch.contiguous_format
    _, channels, height, width = x.shape
    pixel_stride = x.stride(3) if width > 1 else x.stride(2) if height > 1 else 1
    rows_follow = width <= 1 or height <= 1 or x.stride(2) == width * pixel_stride
    if pixel_stride != 1 and channels > 1 and x.stride(1) == 1 and rows_follow:
        return torch.channels_last
    return torch.contiguous_format
