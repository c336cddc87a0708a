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
    height: int, width: int, *, steps: int, scales: int | None, ratio: float = 2.0, name: str = "scales"
) -> list[Scale]:
    """Return the scales for a picture of `height` x `width`, coarsest first, with `steps` divided evenly among them.

    >>> schedule(100, 300, steps=41, scales=None)
    [Scale(height=50, width=150, steps=21), Scale(height=100, width=300, steps=20)]

    Args:
        height: Pixels.
        width: Pixels.
        steps: At all scales together. There are never more scales than steps.
        scales: How many. None: as many as keep the first at 128 pixels or more on its long side, 32 on its short side.
        ratio: How many times as long the sides of a scale are as those of the scale before it; above 1.
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
    each, more = divmod(steps, scales)
    return [
        Scale(round(height / ratio**smaller), round(width / ratio**smaller), each + (scales - 1 - smaller < more))
        for smaller in reversed(range(scales))
    ]
