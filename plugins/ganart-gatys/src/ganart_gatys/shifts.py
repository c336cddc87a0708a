"""How the network sees a picture: with a margin, and shifted.

Zero padding makes a band along the edges that styles itself differently; a margin of the picture's own reflection
keeps it outside. And a network with strides weighs some pixels more than others, on a grid: a picture optimised on one
grid shows it as specks and blocks, so each step takes another shift.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

__all__ = ["SHIFTS", "UNSHIFTED", "Shift", "with_margin"]

_MARGIN = 8
_PERIOD = 16  # the stride of the deepest layers that style transfer takes


class Shift(NamedTuple):
    """How many pixels the network sees the picture moved, 0 to 15."""

    down: int
    across: int


UNSHIFTED = Shift(0, 0)

SHIFTS = tuple(Shift(7 * i % _PERIOD, 3 * i % _PERIOD) for i in range(_PERIOD))
"""A lattice: modulo 16 every row and every column once, each shift far from the one before."""


def with_margin(picture: Tensor, shift: Shift = UNSHIFTED) -> Tensor:
    """Return `[n, c, H, W]` with a reflected margin: 8 pixels all round, and 15 more each way that `shift` shares out.

    Sides must be 16 or more. Where they leave no room for 8 pixels, the margin is less.
    """
    most = _PERIOD - 1
    margin = min(_MARGIN, min(picture.shape[-2:]) - 1 - most)
    down, across = shift
    sides = (margin + across, margin + most - across, margin + down, margin + most - down)
    return functional.pad(picture, sides, mode="reflect")
