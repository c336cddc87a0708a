"""Minibatch standard deviation: channels that tell a critic how varied a batch is.

Formula     samples n, n + M, n + 2M, ... are a group, M = N / group_size; s = sqrt(variance over the group + 1e-8) at
            each channel and pixel; its mean over the pixels and over each of `num_channels` runs of channels is
            appended, as constant channels, to all samples of the group.
Shapes      x [N, C, H, W]; y [N, C + num_channels, H, W].
Layouts     any; y is channels_last where x is.
Types       float32, bfloat16, float64. Statistics are float32 (float64 for float64).
Gradient    any order.
Native      none yet: plain PyTorch on every device, and so no entry in `ops.status()`.
Source      T. Karras et al., "Progressive growing of GANs", ICLR 2018; in StyleGAN2's form.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.activation import check_features, sum_type
from ganart_zoo.ops.layout import result_format

__all__ = ["minibatch_stddev"]

EPSILON = 1e-8


def minibatch_stddev(x: Tensor, group_size: int = 4, num_channels: int = 1) -> Tensor:
    """Append the mean standard deviation within groups of samples.

    Args:
        x: `[N, C, H, W]`, floating point.
        group_size: Samples a group, 1 or more; a smaller batch is one group.
        num_channels: Channels to append, 1 or more; each averages over its share of x's channels.

    Returns:
        `[N, C + num_channels, H, W]`.

    Raises:
        SettingsError: `group_size` does not divide the batch, or `num_channels` the channels, or x is no features.
    """
    check_features("minibatch_stddev", x)
    if num_channels < 1 or x.shape[1] % num_channels:
        raise SettingsError(
            f"minibatch_stddev: num_channels is {num_channels}; expected a divisor of {x.shape[1]} channels"
        )
    group = min(group_size, x.shape[0])
    if group_size < 1 or (group and x.shape[0] % group):
        raise SettingsError(
            f"minibatch_stddev: group_size is {group_size}; expected a divisor of the batch {x.shape[0]}"
        )
    return minibatch_stddev_reference(x, group, num_channels)


def minibatch_stddev_reference(x: Tensor, group_size: int, num_channels: int) -> Tensor:
    """Define `minibatch_stddev` in plain PyTorch."""
    samples, channels, height, width = x.shape
    if samples == 0:
        return torch.cat([x, x.new_empty([0, num_channels, height, width])], dim=1)
    grouped = x.reshape(group_size, samples // group_size, num_channels, channels // num_channels, height, width)
    grouped = grouped.to(sum_type(x.dtype))
    variance = (grouped - grouped.mean(0)).square().mean(0)  # var() takes 16 times as long on a CPU
    deviation = (variance + EPSILON).sqrt().mean([2, 3, 4])
    appended = deviation.to(x.dtype).repeat(group_size, 1)[:, :, None, None].expand(-1, -1, height, width)
    appended = appended.contiguous(memory_format=result_format(x))  # or cat would lose channels_last
    return torch.cat([x, appended], dim=1)
