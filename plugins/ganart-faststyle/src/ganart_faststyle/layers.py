"""The convolution layer that the feed-forward networks are built from.

Borders are reflected, so that no dark or bright frame appears, and enlarging repeats pixels before a convolution, so
that no checkerboard appears (A. Odena et al., "Deconvolution and checkerboard artifacts", Distill 2016).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_zoo import ops

__all__ = ["MULTIPLE", "crop", "enlarge", "pad_to_least", "reflected_conv2d"]

MULTIPLE = 4
"""The networks work at a quarter of the photo's side."""

_LEAST_SIDE = 16
"""Reflection needs more pixels than it adds: at a quarter of the side, 4 are enough for the residual blocks."""
_WINOGRAD_CHANNELS = 16


def reflected_conv2d(x: Tensor, weight: Tensor, *, stride: int = 1) -> Tensor:
    """Return the correlation of `x` with `weight`, its borders reflected so that stride 1 keeps the size.

    Args:
        x: `[n, C, H, W]`, each side longer than half the kernel.
        weight: `[K, C, k, k]` with odd k.
        stride: 1 or more.

    Returns:
        `[n, K, ceil(H / stride), ceil(W / stride)]`.
    """
    half = weight.shape[-1] // 2
    padded = F.pad(x, (half, half, half, half), mode="reflect")
    if stride == 1 and half == 1 and min(weight.shape[:2]) >= _WINOGRAD_CHANNELS:
        # Winograd's convolution pads with zeros: computing one more ring, which is cut off, costs less than it saves.
        return ops.conv2d_bias_act(padded, weight, padding=1)[:, :, 1:-1, 1:-1]
    return F.conv2d(padded, weight, stride=stride)


def enlarge(x: Tensor) -> Tensor:
    """Return `x` with each pixel repeated to 2 x 2."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def pad_to_least(images: Tensor) -> Tensor:
    """Return pictures with their last row and column repeated until each side has at least 16 pixels."""
    height, width = images.shape[-2:]
    below, right = max(0, _LEAST_SIDE - height), max(0, _LEAST_SIDE - width)
    return F.pad(images, (0, right, 0, below), mode="replicate") if below or right else images


def crop(pictures: Tensor, like: Tensor) -> Tensor:
    """Return the upper left part of `pictures` that has the size of `like`."""
    return pictures[..., : like.shape[-2], : like.shape[-1]]


def compute_layout(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Return pictures in the layout and type that the convolutions are quickest in."""
    return images.to(dtype, memory_format=torch.channels_last)
