"""A picture as a Laplacian pyramid, whose levels are optimised in place of pixels.

Adam gives every parameter a step of about the same length. On pixels that favours noise, because most of a picture's
energy lies in its low frequencies. On the levels of a pyramid, coarse structure moves as fast as fine detail. Burt and
Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

__all__ = ["from_pyramid", "to_pyramid"]

_MOST_LEVELS = 5
_SMALLEST_SIDE = 8


def to_pyramid(picture: Tensor, most_levels: int = _MOST_LEVELS) -> list[Tensor]:
    """Return the levels of `[n, c, H, W]`, finest first: the details of each size, then a small picture.

    Halving stops before a side falls under 8 pixels. `from_pyramid` restores the picture, up to rounding.

    Args:
        picture: `[n, c, H, W]`.
        most_levels: The largest number of levels, the small picture included.
    """
    levels: list[Tensor] = []
    while len(levels) < most_levels - 1 and min(picture.shape[-2:]) >= 2 * _SMALLEST_SIDE:
        height, width = picture.shape[-2:]
        smaller = functional.interpolate(
            picture, ((height + 1) // 2, (width + 1) // 2), mode="bilinear", antialias=True
        )
        levels.append(picture - _enlarge(smaller, picture))
        picture = smaller
    return [*levels, picture.clone()]


def from_pyramid(levels: Sequence[Tensor]) -> Tensor:
    """Return the picture of these levels, differentiably."""
    *details, picture = levels
    for detail in reversed(details):
        picture = _enlarge(picture, detail).add_(detail)  # in place, or a large picture exists three times here
    return picture


def _enlarge(picture: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(picture, like.shape[-2:], mode="bilinear")
