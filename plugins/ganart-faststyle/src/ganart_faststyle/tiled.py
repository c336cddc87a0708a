"""Feed-forward networks in tiles. Their norms need the mean and variance of each channel over the whole picture.

Either these come from a reduced copy of the picture, in one pass over it: close, and quick. Or they are collected over
the tiles, norm after norm, since each depends on the norms before it: exact, in as many passes as there are norms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.imaging.tiles import Span, Tile, plan_tiles, spans

__all__ = ["Statistics", "Strips", "collected", "instance_norm_act", "reach", "recorded"]

STRIDE = 4
"""Of the layers at a quarter of the side."""

Paint = Callable[[Tensor], Tensor]
"""A network: `[1, 3, H, W]` to the same."""
Read = Callable[[int, int], Tensor]
"""Returns rows of the picture, `[1, 3, rows, W]`."""


class Statistics(NamedTuple):
    """The mean and variance of each channel before one norm, `[1, C]`."""

    mean: Tensor
    variance: Tensor


class _Norms:
    """What norms do with their input: the default is to normalise it by its own statistics."""

    def __call__(self, x: Tensor) -> Statistics:
        raise NotImplementedError


_norms: ContextVar[_Norms | None] = ContextVar("_norms", default=None)
# not the model's state, because threads share a model


def instance_norm_act(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, *, act: ops.Activation, eps: float = 1e-5
) -> Tensor:
    """Return `ops.instance_norm_act`, or the same with the statistics of the whole picture where `x` is a tile."""
    # torch.compile cannot trace a ContextVar; a compiled network paints whole pictures
    norms = None if torch.compiler.is_compiling() else _norms.get()
    if norms is None:
        return ops.instance_norm_act(x, weight, bias, act=act, eps=eps)
    mean, variance = norms(x)
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    x = x.mul_(scale[0, :, None, None].to(x.dtype))  # in place, since a tile's features are its largest tensors
    return ops.bias_act(x, shift[0].to(x.dtype), act=act, gain=1.0)


@contextmanager
def _using(norms: _Norms) -> Iterator[None]:
    token = _norms.set(norms)
    try:
        yield
    finally:
        _norms.reset(token)


class _Recording(_Norms):
    """Normalises by its own statistics, and keeps them."""

    def __init__(self) -> None:
        self.found: list[Statistics] = []

    def __call__(self, x: Tensor) -> Statistics:
        values = x.double() if x.dtype == torch.float64 else x.float()
        variance, mean = torch.var_mean(values, dim=(2, 3), correction=0)
        self.found.append(Statistics(mean, variance))
        return self.found[-1]


class _Given(_Norms):
    """Takes the statistics that are known, in order; at the first that is not, sums up the tile's own and stops."""

    def __init__(self, known: Sequence[Statistics], tile: Tile, size: tuple[int, int]) -> None:
        self._known = known
        self._tile = tile
        self._size = size
        self._next = 0
        self.sums: tuple[Tensor, Tensor, int] | None = None

    def __call__(self, x: Tensor) -> Statistics:
        if self._next < len(self._known):
            self._next += 1
            return self._known[self._next - 1]
        own = x[:, :, self._own(x.shape[-2], 0), self._own(x.shape[-1], 1)]
        positions = own.shape[-2] * own.shape[-1]
        wide = own if own.dtype == torch.float64 else own.float()
        variance, mean = (value.double() for value in torch.var_mean(wide, dim=(2, 3), correction=0))
        self.sums = mean * positions, (variance + mean.square()) * positions, positions
        raise _Enough

    def _own(self, side: int, axis: int) -> slice:
        own, crop = self._tile
        start, stop, low, high = own[axis], own[axis + 2], crop[axis], crop[axis + 2]
        stride = min((1, 2, 4), key=lambda step: abs(-(-(high - low) // step) - side))
        last = stop == self._size[axis]
        return slice((start - low) // stride, None if last else (stop - low) // stride)


class _Enough(Exception):  # noqa: N818
    """Ends a pass at the norm whose statistics it collects."""


def recorded(paint: Paint, picture: Tensor) -> list[Statistics]:
    """Return the statistics before each norm for a picture `[1, 3, H, W]`, in the order of the norms."""
    norms = _Recording()
    with _using(norms):
        paint(picture)
    return norms.found


def collected(
    paint: Paint,
    read: Read,
    size: tuple[int, int],
    *,
    tile: int,
    halo: int,
    norms: int,
) -> list[Statistics]:
    """Return the statistics before each norm for a whole picture, collected over its tiles in one pass for each norm.

    Args:
        paint: The network.
        read: The picture.
        size: Its height and width.
        tile: The side of a tile.
        halo: What tiles see around them.
        norms: How many norms the network has.
    """
    known: list[Statistics] = []
    while len(known) < norms:
        total: list[Tensor] = []
        count = 0
        for strip in _strips(size, tile, halo):
            rows = read(strip[0].crop.top, strip[0].crop.bottom)
            for one in strip:
                norm = _Given(known, one, size)
                with _using(norm), suppress(_Enough):
                    paint(rows[..., one.crop.left : one.crop.right])
                assert norm.sums is not None
                *sums, positions = norm.sums
                total = [a + b for a, b in zip(total, sums, strict=True)] if total else list(sums)
                count += positions
        mean = total[0] / count
        variance = (total[1] / count - mean.square()).clamp_min(0)
        wide = torch.float64 if rows.dtype == torch.float64 else torch.float32
        known.append(Statistics(mean.to(wide), variance.to(wide)))
    return known


class Strips:
    """Restyles a picture strip by strip, with known statistics.

    Args:
        paint: The network.
        read: The picture.
        size: Its height and width.
        tile: The side of a tile.
        halo: What tiles see around them.
        statistics: Before each norm.
    """

    def __init__(
        self, paint: Paint, read: Read, size: tuple[int, int], *, tile: int, halo: int, statistics: Sequence[Statistics]
    ) -> None:
        self._paint, self._read, self._statistics = paint, read, statistics
        self._size, self._strips = size, list(_strips(size, tile, halo))

    def __len__(self) -> int:
        """Return how many strips there are."""
        return len(self._strips)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield strips of the restyled picture and of the picture itself, `[1, 3, rows, W]`, from top to bottom."""
        for strip in self._strips:
            own, crop = strip[0]
            rows = self._read(crop.top, crop.bottom)
            painted = rows.new_empty(1, 3, own.height, self._size[1])
            for one in strip:
                with _using(_Given(self._statistics, one, self._size)):
                    part = self._paint(rows[..., one.crop.left : one.crop.right])
                painted[..., one.own.left : one.own.right] = part[
                    ...,
                    own.top - crop.top : own.bottom - crop.top,
                    one.own.left - one.crop.left : one.own.right - one.crop.left,
                ]
            made = painted, rows[..., own.top - crop.top : own.bottom - crop.top, :]
            del painted, rows, part
            yield made
            del made  # nothing of a strip is kept while the next is made


def reach(blocks: int) -> int:
    """Return how many pixels beyond its own a network of this many residual blocks looks at, on each side.

    That is 4, 1 and 2 pixels for the convolutions that reduce the picture, 4 for each of two in a block, 4 and 2 for
    those that enlarge it, and 4 for the last.
    """
    return 4 + 1 + 2 + 8 * blocks + 4 + 2 + 4


def _strips(size: tuple[int, int], tile: int, halo: int) -> Iterator[list[Tile]]:
    tiles = plan_tiles(*size, tile=tile, halo=halo, stride=STRIDE)
    columns = len(_columns(size[1], tile, halo))
    for first in range(0, len(tiles), columns):
        yield tiles[first : first + columns]


def _columns(width: int, tile: int, halo: int) -> list[Span]:
    return spans(width, tile=tile, halo=halo, stride=STRIDE)
