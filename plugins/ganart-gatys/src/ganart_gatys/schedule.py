"""The sizes a picture is painted at, coarsest first, and the steps each gets. Torch-free."""

from __future__ import annotations

import math
from typing import NamedTuple

from ganart_zoo.contract import SettingsError

__all__ = ["SMALLEST_SIDE", "Scale", "schedule", "style_size"]

SMALLEST_SIDE = 16
"""Pixels: below this, deep layers have no positions left to take statistics of."""

_FIRST_LONG_SIDE = 128
_FIRST_SHORT_SIDE = 32


class Scale(NamedTuple):
    """One size to paint at."""

    height: int
    width: int
    steps: int


def schedule(height: int, width: int, *, steps: int, scales: int | None) -> list[Scale]:
    """Return the scales for a picture of `height` x `width`, each half the next, with `steps` shared out evenly.

    >>> schedule(100, 300, steps=41, scales=None)
    [Scale(height=50, width=150, steps=21), Scale(height=100, width=300, steps=20)]

    Raises:
        SettingsError: The coarsest of `scales` would be too small.
    """
    if scales is None:
        scales = 1
        while max(height, width) >> scales >= _FIRST_LONG_SIDE and min(height, width) >> scales >= _FIRST_SHORT_SIDE:
            scales += 1
    elif min(height, width) < SMALLEST_SIDE << (scales - 1):
        most = int(math.log2(min(height, width) / SMALLEST_SIDE)) + 1
        raise SettingsError(
            f"scales is {scales}; a picture of {width}x{height} has room for {most} at most, "
            f"the first being at least {SMALLEST_SIDE} pixels a side"
        )
    scales = min(scales, steps)
    each, more = divmod(steps, scales)
    return [
        Scale(round(height / 2**halvings), round(width / 2**halvings), each + (scales - 1 - halvings < more))
        for halvings in reversed(range(scales))
    ]


def style_size(style: tuple[int, int], content: tuple[int, int], scale: Scale, style_scale: float) -> tuple[int, int]:
    """Return the height and width to take a style picture at.

    At the last scale its area is the content's, or its own where that is less, times `style_scale` squared; at the
    others it shrinks as the content does. So no detail is made up unless asked for.

    Args:
        style: Its height and width as given.
        content: The content's as given.
        scale: The scale it is for.
        style_scale: The option.
    """
    area, content_area = math.prod(style), math.prod(content)
    shrunk = math.sqrt(scale.height * scale.width / content_area)
    factor = style_scale * min(1.0, math.sqrt(content_area / area)) * shrunk
    height, width = (max(SMALLEST_SIDE, round(side * factor)) for side in style)
    return height, width
