"""Frozen 3x3 convolutions on the layers of VGG-19: Winograd's against the vendor library's direct ones.

Operations are counted as a direct convolution does them, so that more than 100 % of the roof is work left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional

from ganart_zoo import ops

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from .conftest import Race

LAYERS = [(64, 64, 512), (64, 128, 256), (128, 128, 256), (256, 256, 128), (512, 512, 64), (512, 512, 32)]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
def test_winograd_conv2d(race: Race, direction: str, dtype: str, layer: tuple[int, int, int]) -> None:
    channels, out_channels, side = layer
    weight = torch.randn(out_channels, channels, 3, 3) / (9 * channels) ** 0.5
    bias = torch.randn(out_channels)
    x = torch.randn(1, channels, side, side).to(getattr(torch, dtype))
    kernel = ops.winograd_kernel(weight, x.dtype)
    last = torch.channels_last

    def step(convolve: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], object]:
        if direction == "forward":
            return lambda: convolve(x)
        own = x.detach().clone().requires_grad_()
        outer = torch.randn_like(convolve(own))
        return lambda: torch.autograd.grad(convolve(own), own, outer)

    def direct(weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: functional.conv2d(x, weight, bias, padding=1)

    own_type = weight.to(x.dtype).contiguous(memory_format=last), bias.to(x.dtype)
    candidates = {
        "ganart": step(lambda x: ops.winograd_conv2d(x, kernel, bias), x.contiguous(memory_format=last)),
        "eager": step(direct(*own_type), x.contiguous(memory_format=last)),
        "eager float32 contiguous": step(direct(weight, bias), x.float()),
    }
    passes = 1 if direction == "forward" else 2
    with ops.use("native"):
        race(
            candidates,
            op="winograd_conv2d",
            group="VGG-19, channels_last",
            shape=f"{channels}x{side}x{side} to {out_channels}",
            dtype=dtype,
            direction=direction,
            flops=passes * 2 * 9 * channels * out_channels * side**2,
            moved=passes * side**2 * (channels + out_channels) * x.element_size(),
        )
