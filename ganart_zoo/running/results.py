"""Checks what a model returns, before a task shows or saves it."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor

__all__ = ["ResultError", "check_result"]

_log = logging.getLogger("ganart_zoo")

_CLOSE = 0.1
"""How far beyond 0..1 values may lie before they count as clipped."""
_CLIPPED_SHARE = 0.25
"""The share of clipped values from which the user is warned."""
_OTHER_SCALE = 16.0
"""Values beyond this are on another scale, such as 0..255."""


class ResultError(Exception):
    """A model returned something other than pictures. Guarded calls turn it into a fault of the plugin."""


def check_result(images: Any, n: int, size: tuple[int, int] | None = None, *, warn: bool = True) -> Tensor:
    """Return a model's pictures, and log a warning where saving will clip many of their values.

    Args:
        images: What the model returned.
        n: The number of pictures that were asked for.
        size: The height and width that were asked for; None allows any.
        warn: Whether to log the warning.

    Raises:
        ResultError: They are not `[n, 3, H, W]` of that size and floating point, not finite, or far outside 0..1.
    """
    height, width = size or ("H", "W")
    expected = f"a floating-point tensor [{n}, 3, {height}, {width}] in 0..1"
    if not isinstance(images, Tensor):
        raise ResultError(f"returned {type(images).__name__}, expected {expected}")
    fits = images.ndim == 4 and images.shape[:2] == (n, 3) and size in (None, tuple(images.shape[2:]))
    if not fits or not images.is_floating_point():
        raise ResultError(f"returned {images.dtype} {list(images.shape)}, expected {expected}")
    values = images.detach()
    if not values.numel():
        return images
    broken = values.numel() - int(torch.isfinite(values).sum())
    if broken:
        raise ResultError(f"{broken} of the pictures' {values.numel()} values are NaN or infinite")
    low, high = (float(value) for value in values.aminmax())
    far = float(((values < -_OTHER_SCALE) | (values > _OTHER_SCALE)).float().mean())
    if far > 0.5:
        raise ResultError(f"returned pictures in {low:.4g}..{high:.4g}, expected 0..1")
    if warn and (low < -_CLOSE or high > 1 + _CLOSE):
        clipped = float(((values < -_CLOSE) | (values > 1 + _CLOSE)).float().mean())
        if clipped > _CLIPPED_SHARE:
            _log.warning(
                "%.0f %% of the pictures' values are outside 0..1, from %.3g to %.3g, and are clipped when saved",
                100 * clipped,
                low,
                high,
            )
    return images
