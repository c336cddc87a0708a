"""The sizes that a picture is painted at, coarsest first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from ganart_zoo.imaging import resize

__all__ = ["Level", "Report", "levels", "scaled"]

Report = Callable[[Tensor, Callable[[], Tensor], int], bool]
"""Given the loss of a step, a function that returns the picture so far in its present size, and its long side in
pixels; returns whether to stop."""


class Level(NamedTuple):
    """One size of the picture, and by how much the references are scaled for it."""

    height: int
    width: int
    share: float
    """Side of the references, as a share of their full side."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def long_side(self) -> int:
        """Pixels."""
        return max(self.height, self.width)


def levels(
    size: tuple[int, int], reference: tuple[int, int], *, coarsest: int, ratio: float, patch: int
) -> list[Level]:
    """Return the sizes to paint at, coarsest first.

    >>> levels((64, 48), (64, 64), coarsest=24, ratio=0.5, patch=7)
    [Level(height=32, width=24, share=0.5), Level(height=64, width=48, share=1.0)]

    Args:
        size: Height and width of the finished picture.
        reference: Height and width of the reference.
        coarsest: Pixels: the short side of neither falls below this.
        ratio: Side of each size, as a share of the next larger one.
        patch: Side of the patches; no picture is smaller than one patch and a pixel.
    """
    least = max(coarsest, patch + 1)
    short = min(*size, *reference)
    count = 1 + max(0, math.floor(math.log(least / short) / math.log(ratio) + 1e-9))
    shares = [ratio**power for power in reversed(range(count))]
    height, width = size
    return [
        Level(max(patch + 1, round(height * share)), max(patch + 1, round(width * share)), share) for share in shares
    ]


def scaled(reference: Tensor, share: float, patch: int) -> Tensor:
    """Return a reference `[1, 3, h, w]` with sides of this share, at least one patch and a pixel."""
    if share == 1:
        return reference
    height, width = (max(patch + 1, round(side * share)) for side in reference.shape[-2:])
    return resize(reference, (height, width))
