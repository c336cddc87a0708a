"""Pixel norm: scales each pixel's vector of channels, or each latent, to unit mean square.

Formula     y = x / sqrt(mean over channels of x^2 + eps).
Shapes      x [N, C, ...]; y like x.
Layouts     contiguous and channels_last inputs are read in place, anything else is copied once; y keeps x's layout.
Types       float32, bfloat16, float64, and float16 on CUDA. Sums are float32 (float64 for float64), y is rounded once.
Gradient    any order; second derivatives in x and all higher ones in plain PyTorch. Only x is kept for it.
Cost        forward one read and one write; backward two reads and one write.
Repeats     bit for bit, from run to run and for any number of threads.
Source      T. Karras et al., "Progressive growing of GANs", ICLR 2018.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganart_zoo.ops.checks import check_above_zero, check_features
from ganart_zoo.ops.dispatch import InnerOp, own_op
from ganart_zoo.ops.dtypes import NATIVE_TYPES, sum_type
from ganart_zoo.ops.higher_order import pulled_back
from ganart_zoo.ops.layout import result_format
from ganart_zoo.ops.workloads import shaped

__all__ = ["pixel_norm"]


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Scale x so that its mean square over the channels is 1.

    Args:
        x: Features or latents, `[N, C, ...]`, floating point.
        eps: Added to the mean square; above 0.

    Returns:
        Like `x`.

    Raises:
        SettingsError: `eps` is out of its range, or x has no channels.
    """
    check_features("pixel_norm", x)
    check_above_zero("pixel_norm", "eps", eps)
    y: Tensor = _pixel_norm(x, float(eps))
    return y


def pixel_norm_reference(x: Tensor, eps: float) -> Tensor:
    """Define `pixel_norm` in plain PyTorch."""
    z = x.to(sum_type(x.dtype))
    return (z * (z.square().mean(1, keepdim=True) + eps).rsqrt()).to(x.dtype)


# What torch needs to know about the native op: shapes without data, and derivatives.

_pixel_norm = own_op(
    "pixel_norm",
    pixel_norm_reference,
    NATIVE_TYPES,
    {"small": (shaped(1, 16, 32, 32), 1e-8), "standard": (shaped(8, 128, 64, 64), 1e-8)},
)


def _backward_reference(grad: Tensor, x: Tensor, eps: float) -> Tensor:
    return pulled_back(lambda x: pixel_norm_reference(x, eps), grad, x)[0]


_pixel_norm_backward = InnerOp("pixel_norm_backward", _backward_reference)


def _like_x(x: Tensor, eps: float) -> Tensor:
    return torch.empty_like(x, memory_format=result_format(x))


def _like_gradient(grad: Tensor, x: Tensor, eps: float) -> Tensor:
    return _like_x(x, eps)


def _setup(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
    x, ctx.eps = inputs
    ctx.save_for_backward(x)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    return _pixel_norm_backward(grad, *ctx.saved_tensors, ctx.eps), None


def _setup_backward(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: Tensor) -> None:
    grad, x, ctx.eps = inputs
    ctx.save_for_backward(grad, x)


def _double_backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
    """The backward is linear and symmetric in the gradient; its derivative in x is a formula in plain PyTorch."""
    grad, x = ctx.saved_tensors
    dtype = sum_type(x.dtype)
    own, inner, outer = x.to(dtype), grad.to(dtype), cotangent.to(dtype)
    scale = (own.square().mean(1, keepdim=True) + ctx.eps).rsqrt()
    cube = scale * scale * scale
    on_grad, on_cotangent = (cube * (tensor * own).mean(1, keepdim=True) for tensor in (inner, outer))
    on_x = 3 * on_grad * on_cotangent / scale - cube * (inner * outer).mean(1, keepdim=True)
    grad_x = on_x * own - on_cotangent * inner - on_grad * outer
    return _pixel_norm_backward(cotangent, x, ctx.eps), grad_x.to(x.dtype), None


if _pixel_norm.loaded:
    torch.library.register_fake("ganart::pixel_norm", _like_x)
    torch.library.register_fake("ganart::pixel_norm_backward", _like_gradient)
    _pixel_norm.register_autograd(_backward, setup_context=_setup)
    _pixel_norm_backward.register_autograd(_double_backward, setup_context=_setup_backward)
