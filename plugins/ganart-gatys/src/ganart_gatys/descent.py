"""Gradient descent on a picture: the loop of one scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ganart_gatys.config import Options
from ganart_gatys.objective import Losses, Objective
from ganart_gatys.pyramid import from_pyramid, to_pyramid
from ganart_gatys.shifts import SHIFTS, UNSHIFTED, Shift
from ganart_zoo.contract import ModelError

__all__ = ["Descent", "descend"]

_WINDOW = 20
"""Steps whose mean loss is held against that of as many before."""

_LAST_RATE = 0.1
"""The learning rate falls along a half cosine to this share of itself."""


class Descent(NamedTuple):
    """How a scale ended."""

    best: Tensor
    """The picture of the lowest loss, `[1, 3, H, W]`."""
    stopped: bool
    """Whether the caller asked for an end."""


def descend(
    start: Tensor,
    objective: Objective,
    steps: int,
    options: Options,
    on_step: Callable[[Losses, Tensor], bool],
) -> Descent:
    """Lower the loss from `start` `[1, 3, H, W]` for at most `steps` steps.

    Args:
        start: The picture to begin with.
        objective: Its loss.
        steps: Gradients to compute.
        options: Optimizer, learning rate and plateau.
        on_step: Gets each step's losses and picture; returns whether to stop.

    Raises:
        ModelError: The loss became infinite or NaN.
    """
    levels = [level.requires_grad_() for level in to_pyramid(start)]
    optimizer, rate = _optimizer(levels, options)
    best, lowest, totals = start, math.inf, []
    for step in range(steps):
        shift = SHIFTS[step % len(SHIFTS)] if options.optimizer == "adam" else UNSHIFTED
        for group in optimizer.param_groups:
            group["lr"] = rate * (_falling(step / steps) if options.optimizer == "adam" else 1)
        evaluated: list[tuple[Losses, Tensor]] = []

        def evaluate(shift: Shift = shift, evaluated: list[tuple[Losses, Tensor]] = evaluated) -> Tensor:
            with torch.enable_grad():
                picture = from_pyramid(levels)
                losses = objective(picture, shift)
            # Not backward(): the backbone's weights get no gradient, whoever owns them and however they are set.
            for level, gradient in zip(levels, torch.autograd.grad(losses.total, levels), strict=True):
                level.grad = gradient
            evaluated.append((losses, picture.detach()))
            return losses.total.detach()

        total = float(optimizer.step(evaluate))
        ((losses, picture),) = evaluated
        if not math.isfinite(total):
            raise ModelError(
                f"the loss became {total} at step {step + 1}; lower learning_rate from {rate:g} or its weights"
            )
        if total < lowest:
            best, lowest = picture, total
        if on_step(losses, picture):
            return Descent(best, True)
        totals.append(total)
        if options.plateau and _is_flat(totals, options.plateau):
            break
    return Descent(best, False)


def _optimizer(levels: list[Tensor], options: Options) -> tuple[torch.optim.Optimizer, float]:
    if options.optimizer == "adam":
        rate = options.learning_rate or 0.01
        return torch.optim.Adam(levels, lr=rate, fused=True), rate
    rate = options.learning_rate or 1.0
    # One iteration without a line search is one gradient, and the curvature it has learned stays for the next call.
    return torch.optim.LBFGS(levels, lr=rate, max_iter=1, tolerance_grad=0, tolerance_change=0), rate


def _is_flat(totals: Sequence[float], plateau: float) -> bool:
    """Whether the mean has fallen by less than `plateau` of itself. Single losses vary with the shift."""
    if len(totals) < 2 * _WINDOW:
        return False
    before, now = sum(totals[-2 * _WINDOW : -_WINDOW]), sum(totals[-_WINDOW:])
    return before - now < plateau * before


def _falling(progress: float) -> float:
    return _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * progress)) / 2
