"""Plans of tiles: which rectangles a large picture is processed in, and what a network must see of it for each."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from ganart_zoo.contract.errors import SettingsError

__all__ = ["Box", "Tile", "largest_crop", "plan_tiles", "spans"]


class Box(NamedTuple):
    """A rectangle of pixels: rows from `top` to before `bottom`, columns from `left` to before `right`."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def pixels(self) -> int:
        """Rows times columns."""
        return self.height * self.width


class Tile(NamedTuple):
    """One tile of a picture."""

    own: Box
    """What the tile is responsible for. The boxes of all tiles cover each pixel once."""
    crop: Box
    """What a network must see so that its features of `own` are those of the whole picture."""


class Span(NamedTuple):
    """One tile along one side."""

    start: int
    stop: int
    low: int
    high: int


def plan_tiles(height: int, width: int, *, tile: int, halo: int = 0, stride: int = 1) -> list[Tile]:
    """Return tiles of about `tile` pixels a side, row by row; a smaller picture, or a side up to `tile`, has one.

    Crops are aligned so that a network with zero padding and pooling divides them as it divides the whole: they begin
    at multiples of `stride`, and their sides leave the same remainder as the picture's. Where a crop ends inside the
    picture it reaches `halo` pixels or more beyond the tile.

    >>> [tile.own[1::2] for tile in plan_tiles(64, 100, tile=64, halo=20, stride=16)]
    [(0, 64), (64, 100)]
    >>> [tile.crop[1::2] for tile in plan_tiles(64, 100, tile=64, halo=20, stride=16)]
    [(0, 84), (32, 100)]

    Args:
        height: Rows of the picture.
        width: Columns of the picture.
        tile: The side of a tile at most, rounded down to a multiple of `stride`.
        halo: Pixels.
        stride: The largest stride of the layers that are used, a multiple of all others.

    Raises:
        SettingsError: A number is out of range.
    """
    rows, columns = (spans(side, tile=tile, halo=halo, stride=stride) for side in (height, width))
    return [
        Tile(Box(down.start, across.start, down.stop, across.stop), Box(down.low, across.low, down.high, across.high))
        for down in rows
        for across in columns
    ]


def largest_crop(height: int, width: int, *, tile: int, halo: int = 0, stride: int = 1) -> tuple[int, int]:
    """Return the largest height and width of the crops of `plan_tiles`, whose tiles may be smaller than `tile`.

    >>> largest_crop(1633, 2449, tile=1024, halo=57, stride=4)
    (877, 933)
    """
    rows, columns = (
        max(span.high - span.low for span in spans(side, tile=max(tile, stride), halo=halo, stride=stride))
        for side in (height, width)
    )
    return rows, columns


def spans(length: int, *, tile: int, halo: int = 0, stride: int = 1) -> list[Span]:
    """Return the tiles along a side of `length` pixels; arguments and errors are those of `plan_tiles`."""
    if length < 1 or halo < 0 or stride < 1:
        raise SettingsError(f"tiles of {length} pixels with a halo of {halo} and a stride of {stride} are not possible")
    if tile < stride:
        raise SettingsError(f"tile is {tile} pixels, expected at least the network's stride of {stride}")
    most = tile // stride  # in strides
    count = -(-length // (most * stride))
    # Tiles of nearly the same size: a narrow last one would cost its halo all the same.
    whole = length // stride
    cuts = sorted({whole * number // count * stride for number in range(count)} | {length})
    return [_span(start, stop, length, halo, stride) for start, stop in pairwise(cuts)]


def _span(start: int, stop: int, length: int, halo: int, stride: int) -> Span:
    low = max(0, start - -(-halo // stride) * stride)
    # The crop must be as long as the whole, but for a multiple of the stride.
    high = length if stop == length else min(length, stop + halo + (length - stop - halo) % stride)
    return Span(start, stop, low, high)
