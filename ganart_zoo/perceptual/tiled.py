"""Exact losses and gradients of pictures too large for memory: a network sees them in tiles, with a halo around each.

The features of a tile's own cells are those of the whole picture, to rounding. So sums over positions can be collected
tile by tile, and a loss of sums can be back-propagated tile by tile. Memory for features is that of one tile.

    tiling = Tiling(backbone, layers, picture, tile=512)
    (total,) = tiling.collect(picture, lambda tile, features: [target.sums(features["relu3_1"]).values[0]])
    gradient = torch.zeros_like(picture)
    tiling.pull_back(picture, lambda tile, features: ..., gradient)
    loss = with_gradient(value, picture, gradient)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ganart_zoo.contract.models import Backbone
from ganart_zoo.imaging.tiles import Box, Tile, plan_tiles
from ganart_zoo.perceptual.reach import reach_of
from ganart_zoo.perceptual.shifts import Margins

__all__ = ["Tiling", "pixel_change", "pixel_penalties", "with_gradient"]

Features = Mapping[str, Tensor]
"""Features `[n, C, h, w]` of a tile's own cells, by layer. A side may be 0."""

_NO_MARGINS = Margins(0, 0, 0, 0)
_ROWS = 64
"""Rows of a picture that penalties on pixels take at once."""


class Tiling:
    """A backbone that sees pictures of one size in tiles.

    Args:
        backbone: Its layers' reach is declared, or measured here.
        layers: The layers that will be used.
        height: Rows of the pictures.
        width: Columns of the pictures.
        tile: The side of a tile at most, in pixels.
        margins: Reflected pixels that the network sees around a picture, see `perceptual.margins`.

    Attributes:
        tiles: In coordinates of the picture with its margins.

    Raises:
        SettingsError: A layer is not known or depends on the whole picture, or the tile is smaller than the stride.
    """

    def __init__(
        self,
        backbone: Backbone,
        layers: Sequence[str],
        height: int,
        width: int,
        *,
        tile: int,
        margins: Margins = _NO_MARGINS,
    ) -> None:
        self._backbone = backbone
        self._size = (height, width)
        self._margins = margins
        self._seen = (height + margins.top + margins.bottom, width + margins.left + margins.right)
        strides = [backbone.layers[name].stride for name in backbone.check_layers(layers)]
        self._stride = math.lcm(*strides)
        self._layers = tuple(layers)
        halo = reach_of(backbone, layers)
        self.tiles = plan_tiles(*self._seen, tile=max(tile, self._stride), halo=halo, stride=self._stride)

    def sides(self) -> dict[str, tuple[int, int]]:
        """Return the height and width of each layer's features of the whole picture."""
        # A small picture whose sides leave the same remainders has features that are smaller by whole strides.
        small = [min(side, 8 * self._stride + side % self._stride) for side in self._seen]
        with torch.no_grad():
            probe = torch.zeros(1, 3, *small, dtype=self._backbone.picture_dtype, device=self._backbone.device)
            features = self._backbone(probe, self._layers)
        more = [side - little for side, little in zip(self._seen, small, strict=True)]
        return {
            name: (
                features[name].shape[2] + more[0] // self._backbone.layers[name].stride,
                features[name].shape[3] + more[1] // self._backbone.layers[name].stride,
            )
            for name in self._layers
        }

    def cells(self, name: str, tile: Tile) -> tuple[slice, slice]:
        """Return which rows and columns of a layer's features of the whole picture belong to a tile."""
        stride = self._backbone.layers[name].stride
        rows, columns = self._own(name, tile)
        down, across = tile.crop.top // stride, tile.crop.left // stride
        return (
            slice(rows.start + down, None if rows.stop is None else rows.stop + down),
            slice(columns.start + across, None if columns.stop is None else columns.stop + across),
        )

    def features(self, picture: Tensor, tile: Tile, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Return the features of a tile's own cells, `{name: [n, C, h, w]}`; gradients reach the picture."""
        window = self._window(tile)
        return self._look(picture[window.place], window, tile, self._layers if layers is None else layers)

    @torch.no_grad()
    def collect(
        self,
        picture: Tensor,
        statistics: Callable[[Tile, Features], Sequence[Tensor]],
        layers: Sequence[str] | None = None,
    ) -> list[Tensor]:
        """Return the sums over all tiles of what `statistics` returns for each, added in float64.

        Args:
            picture: `[n, 3, H, W]`.
            statistics: Takes a tile and its features.
            layers: What to compute. None: all layers.
        """
        totals: list[Tensor] = []
        for tile in self.tiles:
            values = statistics(tile, self.features(picture, tile, layers))
            if not totals:
                totals = [torch.zeros_like(value, dtype=torch.float64) for value in values]
            for total, value in zip(totals, values, strict=True):
                total += value
        return totals

    def pull_back(
        self,
        picture: Tensor,
        loss: Callable[[Tile, Features], Tensor],
        gradient: Tensor,
        layers: Sequence[str] | None = None,
    ) -> None:
        """Add to `gradient` the derivative, by the picture, of the sum over all tiles of `loss`.

        Args:
            picture: `[n, 3, H, W]`.
            loss: Takes a tile and its features, and returns a scalar.
            gradient: Of the picture's shape; changed in place.
            layers: What to compute. None: all layers.
        """
        pixels = picture.detach()
        for tile in self.tiles:
            window = self._window(tile)
            with torch.enable_grad():
                leaf = pixels[window.place].requires_grad_()
                features = self._look(leaf, window, tile, self._layers if layers is None else layers)
                value = loss(tile, features)
                del features
            if value.requires_grad:
                gradient[window.place] += torch.autograd.grad(value, leaf)[0]

    def _look(self, pixels: Tensor, window: _Window, tile: Tile, layers: Sequence[str]) -> dict[str, Tensor]:
        seen = window.seen(pixels).contiguous(memory_format=torch.channels_last)
        features = self._backbone(seen, layers)
        own = {}
        for name in layers:
            rows, columns = self._own(name, tile)
            own[name] = features[name][:, :, rows, columns]
        return own

    def _own(self, name: str, tile: Tile) -> tuple[slice, slice]:
        """Return which cells of a crop's features belong to its tile."""
        stride, (own, crop), (height, width) = self._backbone.layers[name].stride, tile, self._seen
        # the last tile has all that remains: a network without padding has fewer cells than strides
        return (
            slice((own.top - crop.top) // stride, None if own.bottom == height else (own.bottom - crop.top) // stride),
            slice((own.left - crop.left) // stride, None if own.right == width else (own.right - crop.left) // stride),
        )

    def _window(self, tile: Tile) -> _Window:
        return _window(tile.crop, self._size, self._margins)


class _Window(NamedTuple):
    """Where the pixels of a crop of a picture with reflected margins come from."""

    place: tuple[Any, ...]
    """The index of the part of the picture that holds them all."""
    rows: Tensor | None
    """Which rows of that part, in order; None: all of them."""
    columns: Tensor | None

    def seen(self, pixels: Tensor) -> Tensor:
        """Return the crop, of `pixels = picture[place]`; gradients reach them."""
        if self.rows is not None:
            pixels = pixels.index_select(-2, self.rows.to(pixels.device))
        return pixels if self.columns is None else pixels.index_select(-1, self.columns.to(pixels.device))


def _window(crop: Box, size: tuple[int, int], margins: Margins) -> _Window:
    rows, down = _source(crop.top, crop.bottom, margins.top, size[0])
    columns, across = _source(crop.left, crop.right, margins.left, size[1])
    return _Window((..., rows, columns), down, across)


def _source(low: int, high: int, margin: int, length: int) -> tuple[slice, Tensor | None]:
    """Return the part of a side that a crop from `low` to `high` shows, and the order of its pixels in the crop."""
    at = torch.arange(low - margin, high - margin).abs()
    at = torch.where(at >= length, 2 * (length - 1) - at, at)
    first, last = int(at.min()), int(at.max())
    plain = low >= margin and high - margin <= length
    return slice(first, last + 1), None if plain else at - first


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, picture: Tensor, gradient: Tensor) -> Tensor:
        ctx.gradient = gradient
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None]:
        gradient: Tensor = ctx.gradient
        ctx.gradient = None  # it is as large as the picture, and is needed once
        return None, gradient.mul_(grad.to(gradient.dtype)), None


def with_gradient(value: Tensor, picture: Tensor, gradient: Tensor) -> Tensor:
    """Return a scalar of this value whose derivative by `picture` is `gradient`. It can be back-propagated once."""
    result: Tensor = _WithGradient.apply(value, picture, gradient)  # type: ignore[no-untyped-call]
    return result


@torch.no_grad()
def pixel_penalties(
    picture: Tensor, gradient: Tensor, *, variation_weight: float, range_weight: float
) -> tuple[Tensor, Tensor]:
    """Return `total_variation` and `range_penalty` of a picture, and add their weighted derivatives to `gradient`.

    No temporary has the size of the picture.

    Args:
        picture: `[n, c, H, W]`.
        gradient: Of the same shape; changed in place.
        variation_weight: For the derivative.
        range_weight: For the derivative.
    """
    pixels = picture.detach()
    height, width = pixels.shape[-2:]
    planes = pixels.shape[0] * pixels.shape[1]
    down_count, across_count = planes * (height - 1) * width, planes * height * (width - 1)
    sums = torch.zeros(3, dtype=torch.float64, device=pixels.device)
    for top in range(0, height, _ROWS):
        bottom = min(top + _ROWS, height)
        rows, own = pixels[:, :, top:bottom], gradient[:, :, top:bottom]
        last = min(bottom, height - 1)
        down = pixels[:, :, top + 1 : last + 1] - pixels[:, :, top:last]
        across = rows[..., 1:] - rows[..., :-1]
        beyond = rows - rows.clamp(0, 1)
        sums += torch.stack([part.square().sum(dtype=torch.float64) for part in (down, across, beyond)])
        gradient[:, :, top + 1 : last + 1].add_(down, alpha=2 * variation_weight / max(1, down_count))
        gradient[:, :, top:last].sub_(down, alpha=2 * variation_weight / max(1, down_count))
        own[..., 1:].add_(across, alpha=2 * variation_weight / max(1, across_count))
        own[..., :-1].sub_(across, alpha=2 * variation_weight / max(1, across_count))
        own.add_(beyond, alpha=2 * range_weight / pixels.numel())
    down_mean, across_mean = sums[0] / down_count, sums[1] / across_count
    return (down_mean + across_mean).to(pixels.dtype), (sums[2] / pixels.numel()).to(pixels.dtype)


@torch.no_grad()
def pixel_change(picture: Tensor, other: Tensor, mask: Tensor, gradient: Tensor, *, weight: float) -> Tensor:
    """Return `change_penalty` of a picture, and add its weighted derivative to `gradient`.

    No temporary has the size of the picture.

    Args:
        picture: `[n, c, H, W]`.
        other: The same shape.
        mask: `[n, 1, H, W]`.
        gradient: Of the picture's shape; changed in place.
        weight: For the derivative.
    """
    pixels = picture.detach()
    total = torch.zeros((), dtype=torch.float64, device=pixels.device)
    for top in range(0, pixels.shape[-2], _ROWS):
        rows = slice(top, top + _ROWS)
        change = pixels[:, :, rows] - other[:, :, rows]
        pulled = mask[:, :, rows] * change
        total += (pulled * change).sum(dtype=torch.float64)
        gradient[:, :, rows].add_(pulled, alpha=2 * weight / pixels.numel())
    return (total / pixels.numel()).to(pixels.dtype)
