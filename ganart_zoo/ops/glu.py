"""A gated linear unit: one half of the channels, each times the sigmoid of a channel of the other half.

Formula     y[n, c] = x[n, c] * sigmoid(x[n, c + C]), for c below C.
Shapes      x [N, 2C, H, W]; y [N, C, H, W].
Layouts     contiguous and channels_last inputs are read in place, anything else is copied once; y and the gradient keep
            x's layout. (The gradient of torch's own is contiguous, with which what precedes it in channels_last is
            slow: batch norm's backward takes ten times as long.)
Types       float32, bfloat16, float64. The arithmetic is float32 (float64 for float64), rounded once.
Gradient    any order; the second and higher derivatives in plain PyTorch. Only x is kept for it.
Cost        forward one read of x and one write of y; backward a read of both and one write of x's size.
Repeats     bit for bit, from run to run and for any number of threads.
Source      Y. Dauphin et al., "Language modeling with gated convolutional networks", ICML 2017.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.checks import check_pictures
from ganart_zoo.ops.dispatch import InnerOp, is_transformed, own_op
from ganart_zoo.ops.dtypes import NATIVE_TYPES, sum_type
from ganart_zoo.ops.higher_order import pulled_back
from ganart_zoo.ops.layout import like_features, result_format
from ganart_zoo.ops.workloads import shaped

__all__ = ["glu"]


def glu(x: Tensor) -> Tensor:
    """Let one half of the channels gate the other: `x[:, :C] * sigmoid(x[:, C:])`.

    Args:
        x: `[N, 2C, H, W]`, floating point.

    Returns:
        `[N, C, H, W]`.

    Raises:
        SettingsError: The number of channels is odd, or x is not floating-point `[N, 2C, H, W]`.
    """
    check_pictures("glu", x)
    if x.shape[1] % 2:
        raise SettingsError(f"glu: x has {x.shape[1]} channels; expected an even number, one half to gate the other")
    y: Tensor = _glu(x)
    return y


def glu_reference(x: Tensor) -> Tensor:
    """Define `glu` in plain PyTorch."""
    if is_transformed(x):  # torch knows no forward derivative of its own glu's gradient
        values, gates = x.tensor_split(2, dim=1)
        return values * gates.sigmoid()
    return F.glu(x, dim=1)


# What torch needs to know about the native op: shapes without data, and derivatives.

_glu = own_op(
    "glu",
    glu_reference,
    {"cpu": NATIVE_TYPES["cpu"]},
    {"small": (shaped(1, 32, 32, 32),), "standard": (shaped(16, 64, 64, 64),)},
)


def _backward_reference(grad: Tensor, x: Tensor) -> Tensor:
    return pulled_back(glu_reference, grad, x)[0]


_glu_backward = InnerOp("glu_backward", _backward_reference)


def _half(x: Tensor) -> Tensor:
    samples, channels, height, width = x.shape
    sizes = (samples, channels // 2, height, width)
    return torch.empty(sizes, dtype=x.dtype, device=x.device, memory_format=result_format(x))


def _setup(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> Tensor:
    grad_x: Tensor = _glu_backward(grad, *ctx.saved_tensors)
    return grad_x


def _setup_backward(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _double_backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
    """By formulas in plain PyTorch, which can be differentiated again."""
    grad, x = ctx.saved_tensors
    dtype = sum_type(x.dtype)
    (values, gates), (on_values, on_gates) = (tensor.to(dtype).chunk(2, dim=1) for tensor in (x, cotangent))
    inner, open_ = grad.to(dtype), gates.sigmoid()
    slope = open_ * (1 - open_)
    grad_grad = on_values * open_ + on_gates * values * slope
    grad_gates = inner * slope * (on_values + on_gates * values * (1 - 2 * open_))
    return grad_grad.to(x.dtype), torch.cat([inner * on_gates * slope, grad_gates], dim=1).to(x.dtype)


if _glu.loaded:
    torch.library.register_fake("ganart::glu", _half)
    torch.library.register_fake("ganart::glu_backward", lambda grad, x: like_features(x))
    _glu.register_autograd(_backward, setup_context=_setup)
    _glu_backward.register_autograd(_double_backward, setup_context=_setup_backward)
