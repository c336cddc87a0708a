"""Minibatch standard deviation: channels that show a critic how varied a batch is.

Formula     samples n, n + M, n + 2M, ... form a group, M = N / group_size (or, with `neighbours`, consecutive samples);
            s = sqrt(variance over the group + 1e-8) at each channel and pixel; its mean over the pixels and
            over each of `num_channels` runs of channels is appended, as constant channels, to all samples of the group.
Shapes      x [N, C, H, W]; y [N, C + num_channels, H, W].
Layouts     contiguous and channels_last inputs are read in place, anything else is copied once; y is channels_last if
            x is.
Types       float32, bfloat16, float64, and float16 on CUDA. Statistics are float32 (float64 for float64), rounded
            once; the other channels are x, bit for bit.
Gradient    any order; the second and higher derivatives in plain PyTorch. Only x is kept for it.
Cost        forward one read of x and one write of y; backward two reads and one write. Groups of several
            dozen samples may leave the caches before they are read again.
Repeats     bit for bit, from run to run and for any number of threads.
Source      T. Karras et al., "Progressive growing of GANs", ICLR 2018; in StyleGAN2's form.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganart_zoo.ops.checks import check_divisor, check_pictures
from ganart_zoo.ops.dispatch import InnerOp, own_op
from ganart_zoo.ops.dtypes import NATIVE_TYPES, sum_type
from ganart_zoo.ops.higher_order import pulled_back
from ganart_zoo.ops.layout import result_format
from ganart_zoo.ops.workloads import shaped

__all__ = ["minibatch_stddev"]

EPSILON = 1e-8


def minibatch_stddev(x: Tensor, group_size: int = 4, num_channels: int = 1, *, neighbours: bool = False) -> Tensor:
    """Append the mean standard deviation within groups of samples.

    Args:
        x: `[N, C, H, W]`, floating point.
        group_size: Samples per group, 1 or more; a smaller batch is one group.
        num_channels: Channels to append, 1 or more; each averages over its share of x's channels.
        neighbours: Whether a group consists of consecutive samples; by default, as in StyleGAN2, of distant ones.

    Returns:
        `[N, C + num_channels, H, W]`.

    Raises:
        SettingsError: `group_size` does not divide the batch, `num_channels` does not divide the channels, or x is not
            floating-point `[N, C, H, W]`.
    """
    check_pictures("minibatch_stddev", x)
    samples, channels = x.shape[:2]
    check_divisor("minibatch_stddev", "num_channels", num_channels, channels, f"{channels} channels")
    group = min(group_size, max(samples, 1))
    check_divisor("minibatch_stddev", "group_size", group, samples, f"the batch {samples}")
    y: Tensor = _minibatch_stddev(x, group, num_channels, neighbours)
    return y


def minibatch_stddev_reference(x: Tensor, group_size: int, num_channels: int, neighbours: bool) -> Tensor:
    """Define `minibatch_stddev` in plain PyTorch."""
    grouped = _grouped(x, group_size, num_channels, neighbours)
    variance = (grouped - grouped.mean(0)).square().mean(0)  # var() takes 16 times as long on a CPU
    return _append(x, (variance + EPSILON).sqrt().mean([2, 3, 4]), group_size, neighbours)


def _grouped(x: Tensor, group_size: int, num_channels: int, neighbours: bool) -> Tensor:
    """Return x as `[members, groups, runs, channels of a run, H, W]`, in the type that sums are kept in."""
    samples, channels, height, width = x.shape
    run = [num_channels, channels // num_channels, height, width]
    groups = samples // group_size
    grouped = x.reshape(groups, group_size, *run).transpose(0, 1) if neighbours else x.reshape(group_size, groups, *run)
    return grouped.to(sum_type(x.dtype))


def _append(x: Tensor, values: Tensor, group_size: int, neighbours: bool) -> Tensor:
    """Append values `[groups, runs]` to the samples of the groups as constant channels."""
    values = values.to(x.dtype)
    of_samples = values.repeat_interleave(group_size, 0) if neighbours else values.repeat(group_size, 1)
    channels = of_samples[:, :, None, None].expand(-1, -1, *x.shape[2:])
    channels = channels.contiguous(memory_format=result_format(x))  # or cat would lose channels_last
    return torch.cat([x, channels], dim=1)


# What torch needs to know about the native op: shapes without data, and derivatives.

_minibatch_stddev = own_op(
    "minibatch_stddev",
    minibatch_stddev_reference,
    NATIVE_TYPES,
    {"small": (shaped(8, 32, 4, 4), 4, 1, False), "standard": (shaped(32, 512, 4, 4), 4, 1, False)},
)


def _backward_reference(grad: Tensor, x: Tensor, *settings: Any) -> Tensor:
    return pulled_back(lambda x: minibatch_stddev_reference(x, *settings), grad, x)[0]


_minibatch_stddev_backward = InnerOp("minibatch_stddev_backward", _backward_reference)


def _wider(x: Tensor, group_size: int, num_channels: int, neighbours: bool) -> Tensor:
    samples, channels, height, width = x.shape
    sizes = [samples, channels + num_channels, height, width]
    return torch.empty(sizes, dtype=x.dtype, device=x.device, memory_format=result_format(x))


def _like_gradient(grad: Tensor, x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x, memory_format=result_format(x))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, *ctx.settings = inputs
    ctx.save_for_backward(x)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return _minibatch_stddev_backward(grad, *ctx.saved_tensors, *ctx.settings), None, None, None


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad, x, *ctx.settings = inputs
    ctx.save_for_backward(grad, x)


def _double_backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
    """By formulas in plain PyTorch, which can be differentiated again."""
    grad, x = ctx.saved_tensors
    group_size, _, neighbours = ctx.settings
    own, outer = _grouped(x, *ctx.settings), _grouped(cotangent, *ctx.settings)
    offset = own - own.mean(0)
    deviation = (offset.square().mean(0) + EPSILON).sqrt()
    slope = offset / deviation
    product = outer * slope
    elements = own[:, 0, 0].numel() if len(x) else 1
    means = product.sum([0, 3, 4, 5]) / elements
    factor = _grouped(grad[:, x.shape[1] :], *ctx.settings).sum([0, 3, 4, 5], keepdim=True)[0] / elements
    grad_x = factor / deviation * (outer - outer.mean(0) - slope * product.mean(0))
    grad_x = (grad_x.transpose(0, 1) if neighbours else grad_x).reshape(x.shape).to(x.dtype)
    return _append(cotangent, means, group_size, neighbours), grad_x, None, None, None


if _minibatch_stddev.loaded:
    register_fake = torch.library.register_fake
    register_fake("ganart::minibatch_stddev", _wider)
    register_fake("ganart::minibatch_stddev_backward", _like_gradient)
    _minibatch_stddev.register_autograd(_backward, setup_context=_setup)
    _minibatch_stddev_backward.register_autograd(_double_backward, setup_context=_setup_backward)
