"""Convolution with StyleGAN2's filtered up- or downsampling around it, in the cheapest order."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.checks import check_device, check_factor, check_shape, check_taps
from ganart_zoo.ops.conv3x3 import conv3x3, conv3x3_pays
from ganart_zoo.ops.conv4x4 import conv4x4, conv4x4_pays
from ganart_zoo.ops.picture_conv2d import conv2d_of_picture, is_of_picture
from ganart_zoo.ops.upfirdn2d import Padding, padding_sides, resampling_padding, upfirdn2d

__all__ = [
    "check_convolution",
    "check_same_type",
    "in_layout_for_strides",
    "is_conv3x3",
    "is_conv4x4",
    "padded_conv2d",
    "resampled_conv2d",
]


def resampled_conv2d(
    x: Tensor, weight: Tensor, *, up: int = 1, down: int = 1, taps: Tensor | None = None, padding: Padding = 0
) -> Tensor:
    """Upsample x, pad it, correlate with `weight` [O, I, KH, KW] and downsample; `padding` counts upsampled pixels.

    Filtering, zero insertion and convolution commute, so the convolution always runs at the lower resolution.
    """
    sides = padding_sides("conv2d", padding)
    if taps is None:
        return padded_conv2d(x, weight, sides, stride=down)
    sides = resampling_padding("conv2d", taps, sides, up=up, down=down)
    pointwise = weight.shape[2] == weight.shape[3] == 1
    if up > 1:
        if pointwise:
            x = upfirdn2d(F.conv2d(x, weight), taps, up=up, padding=sides, gain=up**2)
        else:
            # The transposed convolution returns the full overlap, KH - 1 and KW - 1 more than needed, and lacks
            # the up - 1 zeros after the last pixel.
            rows, columns = weight.shape[2] - 1, weight.shape[3] - 1
            x = F.conv_transpose2d(in_layout_for_strides(x, weight), weight.transpose(0, 1).flip(2, 3), stride=up)
            crop = (sides[0] - columns, sides[1] - columns + up - 1, sides[2] - rows, sides[3] - rows + up - 1)
            x = upfirdn2d(x, taps, padding=crop, gain=up**2)
        return upfirdn2d(x, taps, down=down) if down > 1 else x
    if pointwise:
        return F.conv2d(upfirdn2d(x, taps, down=down, padding=sides), weight)
    return padded_conv2d(upfirdn2d(x, taps, padding=sides), weight, (0, 0, 0, 0), stride=down)


def padded_conv2d(
    x: Tensor, weight: Tensor, sides: tuple[int, int, int, int], *, stride: int = 1, groups: int = 1
) -> Tensor:
    """Correlate x, padded or cropped by `(x0, x1, y0, y1)`; without a padded copy where torch can."""
    if groups == 1 and is_conv3x3(x, weight, sides, stride):
        return conv3x3(x, weight)
    if stride == groups == 1 and not any(sides) and is_of_picture(x, weight):
        return conv2d_of_picture(x, weight)
    if stride > 1 and groups == 1:
        x = in_layout_for_strides(x, weight)
        if is_conv4x4(x, weight, sides, stride):
            return conv4x4(x, weight)
    if sides[0] == sides[1] and sides[2] == sides[3] and min(sides) >= 0:
        return F.conv2d(x, weight, stride=stride, padding=(sides[2], sides[0]), groups=groups)
    return F.conv2d(F.pad(x, list(sides)), weight, stride=stride, groups=groups)


def is_conv3x3(x: Tensor, weight: Tensor, sides: tuple[int, int, int, int], stride: int) -> bool:
    """Return whether `conv3x3` computes this convolution, and faster."""
    return stride == 1 and sides == (1, 1, 1, 1) and conv3x3_pays(x, weight)


def is_conv4x4(x: Tensor, weight: Tensor, sides: tuple[int, int, int, int], stride: int) -> bool:
    """Return whether `conv4x4` computes this convolution, and faster."""
    return stride == 2 and sides == (1, 1, 1, 1) and conv4x4_pays(x, weight)


def in_layout_for_strides(x: Tensor, weight: Tensor) -> Tensor:
    """Return x in the layout with which the vendor library's strided convolutions on CPUs are fastest.

    In channels_last they take up to five times less, their gradients above all. But the weight is then converted too,
    which costs more than it saves if the weight is larger than x.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():  # it would specialise on the number of samples
        return x
    last = x.numel() >= weight.numel()
    return x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def check_convolution(
    op: str, x: Tensor, weight: Tensor, bias: Tensor | None, taps: Tensor | None, padding: Padding, **factors: int
) -> None:
    """Refuse a weight, a bias or taps that do not fit x, invalid factors and padding, and `up` without taps."""
    if weight.dim() != 4 or weight.shape[1] != x.shape[1]:
        raise SettingsError(
            f"{op}: weight has shape {list(weight.shape)}; expected [O, {x.shape[1]}, KH, KW] for x {list(x.shape)}"
        )
    check_same_type(op, x, weight)
    if bias is not None:
        check_shape(op, "bias", bias, [weight.shape[:1]], weight, "weight")
        check_device(op, "bias", bias, x)
    padding_sides(op, padding)
    for name, factor in factors.items():
        check_factor(op, name, factor)
    if taps is not None:
        check_taps(op, taps)
        check_device(op, "taps", taps, x)
    elif factors.get("up", 1) > 1:
        raise SettingsError(
            f"{op}: up is {factors['up']} without taps; give the low-pass filter, such as [1, 3, 3, 1] / 8"
        )


def check_same_type(op: str, x: Tensor, weight: Tensor) -> None:
    """Refuse a weight of another type than x's or on another device."""
    same_type = weight.dtype == x.dtype or torch.is_autocast_enabled(x.device.type)  # which converts both
    if not same_type or weight.device != x.device:
        raise SettingsError(
            f"{op}: weight is {weight.dtype} on {weight.device} and x {x.dtype} on {x.device}; convert one"
        )
