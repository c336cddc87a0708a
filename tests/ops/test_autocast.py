"""Ops that do all in the type of their features do so under autocast too."""

from __future__ import annotations

import pytest
import torch

from ganart_zoo import ops

from .layers import draw

NATIVE_OPS = ["ganart::bias_act", "ganart::instance_norm_act", "ganart::upfirdn2d", "ganart::winograd_conv2d"]
NAMES = [
    *("bias_act lrelu", "bias_act, no bias", "instance_norm_act", "adain", "blur", "upsample2d", "downsample2d"),
    *("upfirdn2d, not separable", "pixel_norm", "minibatch_stddev", "glu"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layers_are_what_they_are_outside(name, dtype, implementation) -> None:
    problem = draw(name, (2, 3, 6, 7), "contiguous", "contiguous", dtype, seed=9)
    outside = problem.outcome()
    with torch.autocast("cpu", torch.bfloat16):
        inside = problem.outcome()
    for found, expected in zip(inside, outside, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_winograds_convolution_is_what_it_is_outside(dtype, implementation, generator) -> None:
    x = torch.randn(1, 4, 9, 9, generator=generator).to(dtype).requires_grad_()
    bias = torch.randn(5, generator=generator, requires_grad=True)
    kernel = ops.winograd_kernel(torch.randn(5, 4, 3, 3, generator=generator))

    def outcome() -> tuple[torch.Tensor, ...]:
        y = ops.winograd_conv2d(x, kernel, bias)
        return y, *torch.autograd.grad(y, (x, bias), y.detach())

    outside = outcome()
    with torch.autocast("cpu", torch.bfloat16):
        inside = outcome()
    for found, expected in zip(inside, outside, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
