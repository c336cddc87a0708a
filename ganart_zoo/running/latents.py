"""Paths between latents: straight lines, or arcs of the sphere near which Gaussian latents lie."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["lerp", "slerp"]

_FLAT = 1e-6
"""Where the sine of the angle between two latents is below this, a straight line is more exact than an arc."""


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Return `(1 - t) a + t b`, exactly `a` at 0 and `b` at 1.

    Args:
        a: `[n, ...]`.
        b: The same.
        t: `[n]`.
    """
    t = _like(t, a)
    return _mixed(a, b, 1 - t, t)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Return the point at `t` of the arc from `a` to `b`, exactly `a` at 0 and `b` at 1; arguments as those of `lerp`.

    Straight lines between Gaussian latents pass near the centre, where there are few; arcs keep the length. Shoemake
    1985; for latents, White 2016, https://arxiv.org/abs/1609.04468. Parallel and opposite latents are joined by a
    straight line.
    """
    t = _like(t, a)
    flat = (a.flatten(1).double(), b.flatten(1).double())
    cosine = torch.nn.functional.cosine_similarity(*flat, dim=1).clamp(-1, 1)
    angle = _like(cosine.acos(), a)
    sine = angle.sin()
    straight = sine < _FLAT
    safe = torch.where(straight, torch.ones_like(sine), sine)
    first = torch.where(straight, 1 - t, ((1 - t) * angle).sin() / safe)
    second = torch.where(straight, t, (t * angle).sin() / safe)
    return _mixed(a, b, first, second)


def _like(values: Tensor, latents: Tensor) -> Tensor:
    """Reshape `[n]` so that it multiplies `[n, ...]`."""
    return values.to(latents.device, torch.float64).view(-1, *[1] * (latents.ndim - 1))


def _mixed(a: Tensor, b: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return (first * a.double() + second * b.double()).to(a.dtype)
