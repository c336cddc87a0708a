"""The types that native kernels take, and the type in which they keep sums."""

from __future__ import annotations

import torch

__all__ = ["NATIVE_TYPES", "sum_type"]

NATIVE_TYPES = {
    "cpu": frozenset({torch.float32, torch.bfloat16, torch.float64}),
    "cuda": frozenset({torch.float32, torch.bfloat16, torch.float16, torch.float64}),
}


def sum_type(dtype: torch.dtype) -> torch.dtype:
    """Return the type that statistics and sums of `dtype` are kept in: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32
