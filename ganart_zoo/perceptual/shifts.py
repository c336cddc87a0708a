"""How a network sees a picture: with a margin, and shifted.

Zero padding makes a band along the edges that is painted differently. A margin of the picture's own reflection keeps
that band outside. A network with strides also weighs some pixels more than others, on a grid: a picture optimised on
one grid shows it as specks and blocks, so each step uses another shift.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract.errors import SettingsError

__all__ = ["SHIFTS", "UNSHIFTED", "Margins", "Shift", "margins", "shifts", "with_margin"]

_MARGIN = 8
_PERIOD = 16  # the stride of the deepest layers that style transfer uses


class Shift(NamedTuple):
    """How many pixels the picture is moved before the network sees it, from 0 to the period less 1."""

    down: int
    across: int


UNSHIFTED = Shift(0, 0)


def shifts(period: int) -> tuple[Shift, ...]:
    """Return `period` shifts that meet every row and every column once, each far from the one before.

    Args:
        period: A power of two: usually the stride of the deepest layer that is used.

    Raises:
        SettingsError: `period` is not a power of two.
    """
    if period < 1 or period & (period - 1):
        raise SettingsError(f"period is {period}, expected a power of two; take the next larger one")
    return tuple(Shift(7 * i % period, 3 * i % period) for i in range(period))


SHIFTS = shifts(_PERIOD)
"""The shifts for networks whose deepest layer has stride 16 or less."""


class Margins(NamedTuple):
    """Reflected pixels on each side of a picture."""

    left: int
    right: int
    top: int
    bottom: int


def margins(
    height: int, width: int, shift: Shift = UNSHIFTED, *, margin: int = _MARGIN, period: int = _PERIOD
) -> Margins:
    """Return the margins that `with_margin` gives to a picture of this size; the arguments are the same."""
    most = period - 1
    margin = min(margin, min(height, width) - 1 - most)
    down, across = shift
    return Margins(margin + across, margin + most - across, margin + down, margin + most - down)


def with_margin(picture: Tensor, shift: Shift = UNSHIFTED, *, margin: int = _MARGIN, period: int = _PERIOD) -> Tensor:
    """Return `[n, c, H, W]` with a reflected margin on all sides, and `period - 1` pixels more, split by `shift`.

    The picture lies at row `margin + shift.down` and column `margin + shift.across` of the result, whose size does not
    depend on the shift: `H + 2 * margin + period - 1` by `W + 2 * margin + period - 1`. Where a side leaves no room for
    the margin, the margin shrinks.

    Args:
        picture: Sides of `period` or more.
        shift: One of `shifts(period)`.
        margin: Pixels on each side.
        period: The period of the shifts.
    """
    height, width = picture.shape[-2:]
    sides = margins(height, width, shift, margin=margin, period=period)
    return functional.pad(picture, sides, mode="reflect")
