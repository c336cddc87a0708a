"""Schedules of learning rates and of the weights of penalties, as functions of the step."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["Curve", "falling_weight", "rate_factor"]

Curve = Literal["constant", "linear", "cosine"]


def rate_factor(step: int, steps: int, *, curve: Curve, warmup: int, final: float) -> float:
    """Return the factor of the learning rate at `step` of `steps`, counted from 0.

    It rises linearly over the `warmup` steps, then falls from 1 to `final` along the curve, or stays at 1.
    """
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - 1 - warmup)
    if curve == "constant":
        return 1.0
    if curve == "linear":
        return 1 + (final - 1) * done
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


def falling_weight(weight: float, final: float, step: int, steps: int) -> float:
    """Return `weight` at the first step and `final * weight` at the last, on a geometric path between."""
    share: float = final ** (step / max(1, steps - 1))
    return weight * share
