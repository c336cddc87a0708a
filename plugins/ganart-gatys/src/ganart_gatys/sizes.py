"""The sizes at which a photo is painted and a style picture is used."""

from __future__ import annotations

import math

from ganart_zoo.perceptual import SMALLEST_SIDE, Scale

__all__ = ["fitted", "style_size"]


def style_size(style: tuple[int, int], content: tuple[int, int], scale: Scale, style_scale: float) -> tuple[int, int]:
    """Return the height and width at which to use a style picture.

    At the last scale its area is the content's, or its own where that is less, times `style_scale` squared. At the
    other scales it shrinks as the content does. So it is never enlarged unless `style_scale` asks for that.

    Args:
        style: Height and width of the style picture.
        content: Height and width of the content.
        scale: The scale at which it is used.
        style_scale: The option.
    """
    area, content_area = math.prod(style), math.prod(content)
    shrunk = math.sqrt(scale.height * scale.width / content_area)
    factor = style_scale * min(1.0, math.sqrt(content_area / area)) * shrunk
    height, width = (max(SMALLEST_SIDE, round(side * factor)) for side in style)
    return height, width


def fitted(size: tuple[int, int], long_side: int | None) -> tuple[int, int]:
    """Return height and width scaled down to this long side, or as they are where they are smaller or it is None."""
    if long_side is None or max(size) <= long_side:
        return size
    height, width = (max(SMALLEST_SIDE, round(side * long_side / max(size))) for side in size)
    return min(height, size[0]), min(width, size[1])
