"""The same loss and gradient as `objective`, computed in tiles, so that memory for features is that of one tile.

Gram matrices are collected over the tiles first. Then each tile is computed again, and back-propagated with the
derivative of the style loss by the Gram matrices of the whole. The content loss is a plain sum, and needs no first run
but for its scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganart_gatys.config import Options
from ganart_gatys.objective import RANGE_WEIGHT, LayerWeights, Losses, Objective, Painting
from ganart_zoo import ops
from ganart_zoo.contract import Backbone, Previous
from ganart_zoo.imaging.tiles import Tile
from ganart_zoo.perceptual import (
    UNSHIFTED,
    ContentTarget,
    GramTarget,
    Shift,
    StyleGroup,
    Sums,
    Tiling,
    guidance,
    margins,
    pixel_change,
    pixel_penalties,
    with_gradient,
    with_margin,
)

__all__ = ["KEPT_BYTES", "TiledObjective"]

KEPT_BYTES = 2**28
"""How many bytes of the content's features to keep, so that they are not computed again at each step."""

Guides = Mapping[str, Tensor]
"""A region's guidance `[1, 1, h, w]` over the whole picture, by layer; empty: everywhere."""


class TiledObjective(Objective):
    """The loss of a picture of one size. Arguments are those of `Objective`, and the largest side of a tile."""

    def __init__(
        self,
        backbone: Backbone,
        layers: LayerWeights,
        content: Tensor,
        paintings: Sequence[Painting],
        groups: Sequence[StyleGroup],
        options: Options,
        tile: int,
        previous: Previous | None = None,
    ) -> None:
        self._tile = tile
        self._energies: dict[Shift, list[Tensor]] = {}
        self._kept: dict[tuple[Shift, Tile], dict[str, Tensor]] = {}
        self._room = KEPT_BYTES
        super().__init__(backbone, layers, content, paintings, groups, options, previous)

    def __call__(self, picture: Tensor, shift: Shift = UNSHIFTED) -> Losses:
        """Return the losses of `picture` `[1, 3, H, W]`, which the network sees shifted."""
        options, pixels = self._options, picture.detach()
        gradient = torch.zeros_like(pixels)
        tiling = self._tiling(pixels, self._asked, shift)
        sides = tiling.sides()
        guides = [_guides(group.region, self._style_layers, sides, shift) for group in self._groups]
        style, cotangents = self._style(tiling, pixels, guides, sides)
        energies = self._content_energies(tiling, shift, sides)
        content = torch.zeros((), dtype=torch.float64, device=pixels.device)

        def loss(tile: Tile, features: Mapping[str, Tensor]) -> Tensor:
            nonlocal content
            total = pixels.new_zeros((), dtype=torch.float64)
            for (number, name), cotangent in cotangents.items():
                own = _guided(features[name], guides[number], name, tiling, tile)
                total = total + options.style_weight * (cotangent * _products(own)).sum()
            if self._content_layers:
                wanted = self._content_features(tiling, shift, tile)
                term = pixels.new_zeros((), dtype=torch.float64)
                for (name, weight), energy in zip(self._content_layers.items(), energies, strict=True):
                    target = ContentTarget(wanted[name], energy)
                    positions = sides[name][0] * sides[name][1]
                    term = term + weight * target.loss_of(Sums(target.sums(features[name]).values, positions))
                content = content + term.detach()
                total = total + options.content_weight * term
            return total

        if self._asked:
            tiling.pull_back(pixels, loss, gradient)
        variation, beyond = pixel_penalties(
            pixels, gradient, variation_weight=options.tv_weight, range_weight=RANGE_WEIGHT
        )
        total = (
            options.content_weight * content
            + options.style_weight * style
            + options.tv_weight * variation
            + RANGE_WEIGHT * beyond
        )
        temporal = pixels.new_zeros(())
        if self._previous is not None:
            weight = options.temporal_weight
            temporal = pixel_change(pixels, *self._previous, gradient, weight=weight)
            total = total + weight * temporal
        content, style, total = (value.to(pixels.dtype) for value in (content, style, total))
        return Losses(with_gradient(total, picture, gradient), content, style, variation, temporal)

    def _style(
        self, tiling: Tiling, pixels: Tensor, guides: Sequence[Guides], sides: Mapping[str, tuple[int, int]]
    ) -> tuple[Tensor, dict[tuple[int, str], Tensor]]:
        """Return the style loss, and its derivative by each group's and layer's sum of products."""
        nothing = pixels.new_zeros((), dtype=torch.float64)
        names = [(number, name) for number in range(len(self._groups)) for name in self._style_layers]
        if not names:
            return nothing, {}
        totals = self._products(tiling, pixels, guides)
        loss, cotangents = nothing, {}
        for (number, name), total in zip(names, totals, strict=True):
            weight = self._groups[number].share * self._style_layers[name]
            target = GramTarget(self._style_targets[number][name].gram.double())
            sums = Sums((total,), sides[name][0] * sides[name][1])
            loss = loss + weight * target.loss_of(sums)
            (cotangents[number, name],) = (weight * value for value in target.gradient(sums).values)
        return loss, cotangents

    def _products(self, tiling: Tiling, pixels: Tensor, guides: Sequence[Guides]) -> list[Tensor]:
        """Return, for each group and layer, the sum over positions of the products of guided features."""
        names = tuple(self._style_layers)

        def statistics(tile: Tile, features: Mapping[str, Tensor]) -> list[Tensor]:
            return [_products(_guided(features[name], own, name, tiling, tile)) for own in guides for name in names]

        return tiling.collect(pixels, statistics, names)

    def _grams(self, picture: Tensor, region: Tensor | None) -> dict[str, Tensor]:
        names = tuple(self._style_layers)
        tiling = self._tiling(picture, names)
        sides = tiling.sides()
        totals = self._products(tiling, picture, [_guides(region, names, sides)])
        grams = {}
        for name, total in zip(names, totals, strict=True):
            grams[name] = (total / (total.shape[1] * sides[name][0] * sides[name][1])).to(picture.dtype)
        return grams

    def _content_energies(self, tiling: Tiling, shift: Shift, sides: Mapping[str, tuple[int, int]]) -> list[Tensor]:
        """Return the mean square of the content's features in each layer; it is kept for each shift."""
        names = tuple(self._content_layers)
        if names and shift not in self._energies:
            totals = [torch.zeros((), dtype=torch.float64, device=self._content.device) for _ in names]
            for tile in tiling.tiles:
                features = self._content_features(tiling, shift, tile)
                for total, name in zip(totals, names, strict=True):
                    total += _float(features[name]).square().sum()
            channels = [self._backbone.layers[name].channels for name in names]
            counts = [count * sides[name][0] * sides[name][1] for count, name in zip(channels, names, strict=True)]
            self._energies[shift] = [total / count for total, count in zip(totals, counts, strict=True)]
        return self._energies.get(shift, [])

    @torch.no_grad()
    def _content_features(self, tiling: Tiling, shift: Shift, tile: Tile) -> dict[str, Tensor]:
        """Return the content's features of a tile; as many as there is room for are kept for the shift's next turn."""
        if (shift, tile) in self._kept:
            return self._kept[shift, tile]
        features = tiling.features(self._content, tile, tuple(self._content_layers))
        size = sum(values.numel() * values.element_size() for values in features.values())
        if size <= self._room:
            self._room -= size
            self._kept[shift, tile] = {name: values.clone() for name, values in features.items()}
        return features

    def _tiling(self, picture: Tensor, layers: Sequence[str], shift: Shift = UNSHIFTED) -> Tiling:
        height, width = picture.shape[-2:]
        sides = margins(height, width, shift)
        return Tiling(self._backbone, layers, height, width, tile=self._tile, margins=sides)


def _guides(
    region: Tensor | None,
    layers: Sequence[str] | Mapping[str, float],
    sides: Mapping[str, tuple[int, int]],
    shift: Shift = UNSHIFTED,
) -> Guides:
    if region is None:
        return {}
    seen = with_margin(region, shift)
    return {name: guidance(seen, sides[name]) for name in layers}


def _guided(features: Tensor, guides: Guides, name: str, tiling: Tiling, tile: Tile) -> Tensor:
    if not guides:
        return features
    rows, columns = tiling.cells(name, tile)
    return features * guides[name][:, :, rows, columns].to(features.dtype)


def _products(features: Tensor) -> Tensor:
    """Return `sum_p F_p F_p^T`, `[1, C, C]`."""
    if not features.numel():
        return features.new_zeros(1, features.shape[1], features.shape[1], dtype=_float(features).dtype)
    return ops.gram_matrix(features) * features[0].numel()


def _float(features: Tensor) -> Tensor:
    return features if features.dtype == torch.float64 else features.float()
