"""Frozen 3x3 convolutions by Winograd's algorithm, which needs a fifth of the multiplications, where that pays."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from ganart_zoo import ops

__all__ = ["accelerate", "can_accelerate"]

Network = TypeVar("Network", bound=nn.Module)

_LEAST_CHANNELS = 32
"""Fewer, and transforming tiles costs as much as is saved."""
_LEAST_PIXELS = 256
"""Fewer, and reading the transformed weights does."""


def can_accelerate(network: nn.Module) -> bool:
    """Return whether `accelerate` would replace anything."""
    return bool(_candidates(network))


def accelerate(network: Network) -> Network:
    """Replace the 3x3 convolutions of `network` by `_WinogradConv2d` where that is quicker; return it."""
    for name, direct in _candidates(network).items():
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, _WinogradConv2d(direct))
    return network


class _WinogradConv2d(nn.Module):
    """A frozen 3x3 convolution of step 1 and padding 1.

    Args:
        direct: The convolution; maps too small to gain are left to it.
    """

    def __init__(self, direct: nn.Conv2d) -> None:
        super().__init__()
        self.direct = direct
        self._kernel = ops.winograd_kernel(direct.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Return the convolution of `[N, C, H, W]`, of its type; gradients reach the features and the bias."""
        if features.shape[-2] * features.shape[-1] < _LEAST_PIXELS:
            result: Tensor = self.direct(features)
            return result
        return ops.winograd_conv2d(features, self._kernel, self.direct.bias)


def _candidates(network: nn.Module) -> dict[str, nn.Conv2d]:
    found = network.named_modules()
    return {name: module for name, module in found if isinstance(module, nn.Conv2d) and _pays(module)}


def _pays(convolution: nn.Conv2d) -> bool:
    return (
        convolution.weight.dtype in (torch.float32, torch.bfloat16)
        and min(convolution.in_channels, convolution.out_channels) >= _LEAST_CHANNELS
        and convolution.kernel_size == (3, 3)
        and convolution.stride == (1, 1)
        and convolution.padding == (1, 1)
        and convolution.padding_mode == "zeros"
        and convolution.dilation == (1, 1)
        and convolution.groups == 1
        and _is_native(convolution.weight.device.type)
    )


def _is_native(device: str) -> bool:
    of_op = (status for status in ops.status() if status.op == "ganart::winograd_conv2d" and status.device == device)
    return any(status.implementation == "native" for status in of_op)
