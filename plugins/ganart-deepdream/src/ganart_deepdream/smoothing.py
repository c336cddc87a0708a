"""Smoothing of gradients, so that dreams have structure and not noise. Each works on a neighbourhood of pixels."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ganart_deepdream.config import Options
from ganart_zoo.perceptual import from_pyramid, to_pyramid

__all__ = ["gaussian", "laplacian", "smoother"]

_LEVELS = 4
_TINY = 1e-12


def smoother(options: Options) -> Callable[[Tensor], Tensor] | None:
    """Return the smoothing that the options ask for; None where they ask for none."""
    if options.smoothing == "laplacian":
        return laplacian
    if options.smoothing == "gaussian":
        return lambda gradient: gaussian(gradient, options.sigma)
    return None


def laplacian(gradient: Tensor) -> Tensor:
    """Return `[n, c, H, W]` with every level of its Laplacian pyramid scaled to the same root mean square, row by row.

    Raw gradients are mostly fine detail; this gives coarse structure the same strength. Mordvintsev, "Visualizing
    TensorFlow graphs: DeepDream", 2015, calls it Laplacian pyramid gradient normalization.
    """
    levels = to_pyramid(gradient, _LEVELS)
    sizes = [level.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() for level in levels]
    return from_pyramid([level / size.clamp_min(_TINY) for level, size in zip(levels, sizes, strict=True)])


def gaussian(gradient: Tensor, sigma: float) -> Tensor:
    """Return `[n, c, H, W]` convolved with a Gaussian of standard deviation `sigma`, the border repeated."""
    radius = min(math.ceil(3 * sigma), *(side - 1 for side in gradient.shape[-2:]))
    offsets = torch.arange(-radius, radius + 1, device=gradient.device, dtype=gradient.dtype)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    n, channels, height, width = gradient.shape
    planes = functional.pad(gradient.reshape(n * channels, 1, height, width), [radius] * 4, mode="replicate")
    smooth = functional.conv2d(functional.conv2d(planes, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return smooth.view(n, channels, height, width)
