"""A frozen network made as fast as the device allows: in bfloat16, and with 3x3 convolutions by Winograd's algorithm.

Winograd's algorithm needs a fifth of the multiplications; it replaces a convolution only where that pays.
"""

from __future__ import annotations

import copy
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

from ganart_zoo import ops
from ganart_zoo.contract.models import Backbone

__all__ = ["Precision", "accelerate", "can_accelerate", "fastest"]

Network = TypeVar("Network", bound=nn.Module)

Precision = Literal["auto", "float32", "bfloat16"]
"""What a network computes in: `"auto"` is bfloat16 where the device multiplies that faster than float32."""

_LEAST_CHANNELS = 32
"""With fewer, transforming tiles costs as much as is saved."""
_LEAST_PIXELS = 256
"""With fewer, reading the transformed weights costs as much as is saved."""


def fastest(backbone: Backbone, precision: Precision = "auto") -> Backbone:
    """Return the backbone as fast as it can be in a precision: itself, or a converted copy.

    A copy and not autocast, because autocast would convert every weight anew at every step; and not in place, because
    others may share the original.

    Args:
        backbone: Not changed. No gradient reaches the weights of a copy.
        precision: `"auto"` converts a float32 backbone only, so that a model created in another type keeps it.
    """
    stored = backbone.compute_dtype
    wanted = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(precision, stored)
    if precision == "auto" and stored == torch.float32 and _bfloat16_pays(backbone.device):
        wanted = torch.bfloat16
    if wanted == stored and not can_accelerate(backbone):
        return backbone
    return accelerate(copy.deepcopy(backbone).to(wanted))


def can_accelerate(network: nn.Module) -> bool:
    """Return whether `accelerate` would replace anything."""
    return bool(_candidates(network))


def accelerate(network: Network) -> Network:
    """Replace the frozen 3x3 convolutions of `network` by faster ones where there are any, in place; return it.

    The replacements hold transformed copies of the weights, which do not follow later changes of the originals.
    """
    for name, direct in _candidates(network).items():
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, _WinogradConv2d(direct))
    return network


class _WinogradConv2d(nn.Module):
    """A frozen 3x3 convolution of stride 1 and padding 1.

    Args:
        direct: The convolution to replace. It still handles maps that are too small to gain.
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
    modules = network.named_modules()
    return {name: module for name, module in modules if isinstance(module, nn.Conv2d) and _pays(module)}


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
    statuses = (status for status in ops.status() if status.op == "ganart::winograd_conv2d" and status.device == device)
    return any(status.implementation == "native" for status in statuses)


def _bfloat16_pays(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return any(torch.cpu.get_capabilities().get(unit, False) for unit in ("avx512_bf16", "amx_bf16"))
    return False
