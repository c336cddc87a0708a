"""Adam's averages of gradients, carried from one size of a picture to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo.perceptual import Adam

__all__ = ["carry_moments"]

_MOST_OCTAVES = 0.5
"""Levels whose sides differ by more than this power of two begin anew."""


@torch.no_grad()
def carry_moments(old: Adam, old_levels: Sequence[Tensor], new: Adam, levels: Sequence[Tensor]) -> None:
    """Give each level of a pyramid the averages of the old level whose size is nearest, if one is near.

    Losses are means over positions, so a level of the same size has gradients of about the same size.

    Args:
        old: Adam after its last step.
        old_levels: Its parameters, `[1, 3, h, w]`.
        new: Adam before its first step. Changed.
        levels: Its parameters.
    """
    for level in levels:
        nearest = min(old_levels, key=lambda other: _octaves(level, other))
        state = old.state.get(nearest)
        if not state or _octaves(level, nearest) > _MOST_OCTAVES:
            continue
        size = level.shape[-2:]
        moments = {name: functional.interpolate(state[name], size, mode="bilinear") for name in _MOMENTS}
        new.state[level] = {"step": state["step"].clone(), **moments}


_MOMENTS = ("exp_avg", "exp_avg_sq")


def _octaves(one: Tensor, other: Tensor) -> float:
    return abs(math.log2(one[0, 0].numel() / other[0, 0].numel())) / 2
