"""The sizes at which a picture is optimised, coarsest first, and the steps at each."""

from __future__ import annotations

import math
from typing import NamedTuple

from ganart_zoo.contract.errors import SettingsError

__all__ = ["SMALLEST_SIDE", "Scale", "schedule"]

SMALLEST_SIDE = 16
"""Pixels. In a smaller picture, deep layers have too few positions for statistics."""

_FIRST_LONG_SIDE = 128
_FIRST_SHORT_SIDE = 32


class Scale(NamedTuple):
    """One size, and how many steps to take at it."""

    height: int
    width: int
    steps: int


def schedule(
    height: int,
    width: int,
    *,
    steps: int,
    scales: int | None,
    ratio: float = 2.0,
    growth: float = 1.0,
    name: str = "scales",
) -> list[Scale]:
    """Return the scales for a picture of `height` x `width`, coarsest first, with `steps` divided among them.

    >>> schedule(100, 300, steps=41, scales=None)
    [Scale(height=50, width=150, steps=21), Scale(height=100, width=300, steps=20)]
    >>> schedule(100, 300, steps=41, scales=None, growth=3)
    [Scale(height=50, width=150, steps=10), Scale(height=100, width=300, steps=31)]

    Args:
        height: Pixels.
        width: Pixels.
        steps: At all scales together. There are never more scales than steps.
        scales: How many. None: as many as keep the first at 128 pixels or more on its long side, 32 on its short side.
        ratio: How many times as long the sides of a scale are as those of the scale before it; above 1.
        growth: How many times as many steps each scale gets as the scale before it; 1 or more. None gets less than one.
        name: The name of the option `scales`, for messages.

    Raises:
        SettingsError: The coarsest of `scales` would be smaller than 16 pixels a side.
    """
    long_side, short_side = max(height, width), min(height, width)
    if scales is None:
        scales = 1
        while long_side / ratio**scales >= _FIRST_LONG_SIDE and short_side / ratio**scales >= _FIRST_SHORT_SIDE:
            scales += 1
    elif short_side / ratio ** (scales - 1) < SMALLEST_SIDE:
        most = int(math.log2(short_side / SMALLEST_SIDE) / math.log2(ratio)) + 1
        raise SettingsError(
            f"{name} is {scales}; a picture of {width}x{height} has room for {most} at most, "
            f"because the first must be at least {SMALLEST_SIDE} pixels a side"
        )
    scales = min(scales, steps)
    return [
        Scale(round(height / ratio**smaller), round(width / ratio**smaller), count)
        for smaller, count in zip(reversed(range(scales)), _divided(steps, scales, growth), strict=True)
    ]


def _divided(steps: int, scales: int, growth: float) -> list[int]:
    """Return the steps of each scale, of which there are no more than steps."""
    whole = sum(growth**index for index in range(scales))
    counts = [1 + int((steps - scales) * growth**index / whole) for index in range(scales)]
    left = steps - sum(counts)
    if growth == 1:
        return [count + (index < left) for index, count in enumerate(counts)]
    counts[-1] += left
    return counts
