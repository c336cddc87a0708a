"""How much memory a call takes, from the loss measured on small pictures and the number of picture-sized tensors."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ganart_gatys.config import Options
from ganart_gatys.objective import LayerWeights, Objective, Painting, shifts_of
from ganart_gatys.tiled import KEPT_BYTES, TiledObjective
from ganart_zoo.contract import Backbone, SettingsError
from ganart_zoo.imaging.tiles import largest_crop
from ganart_zoo.perceptual import MemoryFit, StyleGroup, fit_memory, reach_of

__all__ = ["forecaster"]

_LEVELS = 4 / 3
"""A pyramid's pixels, relative to the picture's."""
_EVALUATED = 3
"""The picture, its gradient and the best picture so far."""
_LBFGS_HISTORY = 100
_MARGIN = 31
"""Rows and columns that a network sees beyond the picture's."""


def forecaster(
    backbone: Backbone, layers: LayerWeights, groups: list[StyleGroup], styles: int, options: Options
) -> Callable[[int, int, int | None], int]:
    """Return a function of height, width and tile: the bytes that a call takes, without content and backbone.

    Args:
        backbone: As it computes.
        layers: Those of the model.
        groups: Their regions do not matter.
        styles: The number of style pictures.
        options: Of the call.
    """
    plain = [group._replace(region=None) for group in groups]
    used = {**layers.style, **layers.content}
    stride = math.lcm(*(backbone.layers[name].stride for name in used))
    fits: dict[bool, MemoryFit] = {}

    def fit(tiled: bool) -> MemoryFit:
        def work(side: int) -> None:
            content = torch.rand(1, 3, side, side, dtype=backbone.picture_dtype, device=backbone.device)
            arguments = (backbone, layers, content, [Painting(content, None)] * styles, plain, options)
            objective = TiledObjective(*arguments, tile=side + stride + _MARGIN) if tiled else Objective(*arguments)
            picture = content.clone().requires_grad_()
            with torch.enable_grad():
                torch.autograd.grad(objective(picture).total, picture)

        if tiled not in fits:
            fits[tiled] = fit_memory(work)
        return fits[tiled]

    def forecast(height: int, width: int, tile: int | None) -> int:
        picture = 3 * height * width * backbone.picture_dtype.itemsize
        kept = picture * (_EVALUATED + _optimizer_pictures(options))
        seen = (height + _MARGIN, width + _MARGIN)
        shifts = min(options.steps, len(shifts_of(options)))
        cells = sum(backbone.layers[name].channels / backbone.layers[name].stride ** 2 for name in layers.content)
        content = round(cells * seen[0] * seen[1] * backbone.compute_dtype.itemsize)  # of one shift
        if tile is None or max(seen) <= tile:
            return round(kept + fit(False)(height, width) + (shifts - 1) * content)
        if options.style_term != "gram":
            raise SettingsError(f"style_term={options.style_term!r} needs the whole picture at once")
        seen_at_once = largest_crop(*seen, tile=tile, halo=reach_of(backbone, tuple(used)), stride=stride)
        crop = [side - _MARGIN for side in seen_at_once]
        return round(kept + fit(True)(*crop) + min(shifts * content, KEPT_BYTES))

    return forecast


def _optimizer_pictures(options: Options) -> float:
    """Return how many pictures the levels and what the optimizer knows of them take."""
    if options.optimizer == "adam":
        return 3 * _LEVELS  # the levels, and two moments
    return _LEVELS * (1 + 2 * min(options.steps, _LBFGS_HISTORY) + 6)
