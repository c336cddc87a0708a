"""The convolutions that the feed-forward networks are built from.

Borders are reflected, so that no dark or bright frame appears, and enlarging repeats pixels before a convolution, so
that no checkerboard appears (A. Odena et al., "Deconvolution and checkerboard artifacts", Distill 2016).

Two of the convolutions are computed in another arrangement than they are defined in, which changes the result by
rounding alone. A convolution of repeated pixels only ever sees sums of its taps, so it is one at the smaller size with
four results per pixel. And one of few channels and many taps, which processors are slow at, becomes one of many
channels and 3 x 3 taps when 4 x 4 pixels are taken for the channels of one.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_zoo import ops

__all__ = ["compute_layout", "crop", "enlarged_conv2d", "pad_to_least", "reflected_conv2d"]

_LEAST_SIDE = 16
"""Reflection needs more pixels than it adds: at a quarter of the side, 4 are enough for the residual blocks."""
_BLOCK = 4
_FEW_CHANNELS = 8
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
    if half == _BLOCK and stride == 1 and max(weight.shape[:2]) <= _FEW_CHANNELS and _divides(x):
        return _blocked_conv2d(padded, weight)
    if half == stride == 1:
        return _conv3x3(padded, weight)
    return F.conv2d(padded, weight, stride=stride)


def enlarged_conv2d(x: Tensor, weight: Tensor) -> Tensor:
    """Return the correlation of `x`, each pixel repeated to 2 x 2, with `weight`, its borders reflected.

    Args:
        x: `[n, C, H, W]`.
        weight: `[K, C, 3, 3]`.

    Returns:
        `[n, K, 2 H, 2 W]`.
    """
    taps = _enlarging_taps().to(weight)
    small = torch.einsum("kct,tpq->kpcq", weight.flatten(2), taps)
    small = small.reshape(4 * weight.shape[0], weight.shape[1], 3, 3)
    # the pixel that reflection finds beside the first one is its own copy
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return _spread(_conv3x3(padded, small), 2)


def pad_to_least(images: Tensor) -> Tensor:
    """Return pictures with their last row and column repeated until each side has at least 16 pixels."""
    if torch.compiler.is_exporting():  # for sizes from 64 x 64 on
        return images
    height, width = images.shape[-2:]
    below, right = max(0, _LEAST_SIDE - height), max(0, _LEAST_SIDE - width)
    return F.pad(images, (0, right, 0, below), mode="replicate") if below or right else images


def crop(pictures: Tensor, like: Tensor) -> Tensor:
    """Return the upper left part of `pictures` that has the size of `like`."""
    return pictures[..., : like.shape[-2], : like.shape[-1]]


def compute_layout(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Return pictures in the layout and type that the convolutions are quickest in."""
    return images.to(dtype, memory_format=torch.channels_last)


def _conv3x3(padded: Tensor, weight: Tensor) -> Tensor:
    """Return the correlation of `padded` with 3 x 3 taps, a pixel smaller on each side."""
    if min(weight.shape[:2]) < _WINOGRAD_CHANNELS:
        return F.conv2d(padded, weight)
    # Winograd's convolution pads with zeros: computing one more ring, which is cut off, costs less than it saves.
    inner = ops.conv2d_bias_act(padded, weight, padding=1)[:, :, 1:-1, 1:-1]
    # What is cut out is no longer dense, and the next operation would copy it in the slower layout.
    return inner.contiguous(memory_format=torch.channels_last)


def _divides(x: Tensor) -> bool:
    if torch.compiler.is_exporting():
        return False
    return x.shape[-2] % _BLOCK == 0 and x.shape[-1] % _BLOCK == 0


def _blocked_conv2d(padded: Tensor, weight: Tensor) -> Tensor:
    """Return the correlation of `padded` with 9 x 9 taps, computed on blocks of 4 x 4 pixels."""
    outputs, inputs = weight.shape[:2]
    taps = _blocked_taps().to(weight)
    wide = torch.einsum("kct,tpbq->kpcbq", weight.flatten(2), taps)
    wide = wide.reshape(outputs * _BLOCK**2, inputs * _BLOCK**2, 3, 3)
    blocks = F.pixel_unshuffle(padded, _BLOCK).contiguous(memory_format=torch.channels_last)
    return _spread(_conv3x3(blocks, wide), _BLOCK)


def _spread(x: Tensor, factor: int) -> Tensor:
    """Return `F.pixel_shuffle(x, factor)`, with adjacent pixels where there are few channels.

    What works on few channels, such as the normalisation that follows, is then several times as fast.
    """
    n, channels, height, width = x.shape
    channels //= factor**2
    if channels > _FEW_CHANNELS or torch.compiler.is_exporting():
        return F.pixel_shuffle(x, factor)
    apart = x.reshape(n, channels, factor, factor, height, width).permute(0, 1, 4, 2, 5, 3)
    return apart.reshape(n, channels, height * factor, width * factor).contiguous()


def _enlarging_taps() -> Tensor:
    """Return `[9, 4, 9]`: which tap of an enlarged picture, for each of its 4 phases, falls on which of the smaller."""
    # a cached tensor of an export has no values, which later calls would find
    return _made_enlarging_taps() if torch.compiler.is_exporting() else _cached_enlarging_taps()


def _made_enlarging_taps() -> Tensor:
    lands = torch.tensor([[0, 1], [1, 1], [1, 2]])  # of 3 taps in 2 phases
    line = F.one_hot(lands, 3).float()
    return torch.einsum("tpy,sqx->tspqyx", line, line).reshape(9, 4, 9)


# Made outside of inference mode, or a cached tensor could never be part of a gradient afterwards.


_cached_enlarging_taps = lru_cache(maxsize=1)(torch.inference_mode(False)(_made_enlarging_taps))


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def _blocked_taps() -> Tensor:
    """Return `[81, 16, 16, 9]`: which of 9 x 9 taps, for each place in a block, meets which place in which of 3 x 3
    blocks."""
    size = 2 * _BLOCK + 1
    line = torch.zeros(size, _BLOCK, _BLOCK, 3)
    for place in range(_BLOCK):
        for tap in range(size):
            block, inside = divmod(place + tap - _BLOCK, _BLOCK)
            line[tap, place, inside, block + 1] = 1
    taps = torch.einsum("tpiy,sqjx->tspqijyx", line, line)
    return taps.reshape(size**2, _BLOCK**2, _BLOCK**2, 9)
