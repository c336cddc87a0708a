"""Results that show themselves in notebooks."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from ganart_zoo.imaging.grid import to_grid
from ganart_zoo.imaging.images import encode, resize

__all__ = ["Shown"]

_SIDE = 1024
"""Pixels of the long side that a notebook is given at most."""


class Shown:
    """A result with pictures: `images`, `image` or `results`. Notebooks show them, several as a sheet."""

    def _repr_png_(self) -> bytes | None:
        pictures = _pictures(self)
        if not pictures:
            return None
        several = len(pictures) > 1
        sheet = to_grid(pictures, columns=_columns(self, len(pictures)), padding=4) if several else pictures[0]
        sheet = sheet.detach().float().cpu().clamp(0, 1)
        if max(sheet.shape[-2:]) > _SIDE:
            sheet = resize(sheet, _SIDE).clamp(0, 1)
        record = None if several else getattr(self, "record", None)
        return encode(sheet, "png", record=record)


def _pictures(result: Any) -> list[Tensor]:
    if hasattr(result, "results"):
        return [one.image for one in result.results]
    images = getattr(result, "images", None)
    if images is None:
        images = result.image
    return [one[None] for one in images.flatten(0, -4)] if images.numel() else []


def _columns(result: Any, count: int) -> int:
    images = getattr(result, "images", None)
    if images is not None and images.ndim == 5:
        return int(images.shape[1])
    return max(1, math.isqrt(count))
