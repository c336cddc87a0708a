"""A 3x3 convolution that trains, by Winograd's algorithm where that is quicker than the vendor's direct one.

Formula     z[n, k, i, j] = sum over c, a, b of x[n, c, i + a - 1, j + b - 1] * weight[k, c, a, b], zeros outside x, and
            y = clamp(act(z + bias) * gain) in the same pass, for activations that are linear on both sides of 0. The
            convolution, its gradient for x and that for weight are each other's derivatives, so all are native to any
            order.
Shapes      x [N, C, H, W], weight [K, C, 3, 3], bias [K], y [N, K, H, W].
Layouts     contiguous and channels_last are read where they are, anything else is copied once; y keeps x's layout.
Types       float32; bfloat16 where the processor has no unit for it. Products and sums are float32.
Accuracy    within about 1e-4 of the result's standard deviation, in sums of float32 where a direct convolution has 1e-6
            and TensorFloat-32 5e-4. `torch.backends.mkldnn.conv.fp32_precision = "ieee"` keeps to the direct one.
Repeats     bit for bit, from run to run and for any number of threads.
Source      A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_zoo.ops.activation import Activation, sum_type
from ganart_zoo.ops.bias_act import bias_act_reference, gradients_from_output
from ganart_zoo.ops.dispatch import constant_when_compiled, own_op
from ganart_zoo.ops.layout import result_format

__all__ = ["conv3x3", "conv3x3_bias_act", "conv3x3_pays"]

# Multiply-adds in whose time a channel of a 6 x 6 tile is transformed, and a pair of channels' weights for such tiles.
_TRANSFORM_TILE, _TRANSFORM_WEIGHT = 1600, 1200


def conv3x3(x: Tensor, weight: Tensor) -> Tensor:
    """Return `conv2d(x, weight, padding=1)`, where `conv3x3_pays`."""
    y: Tensor = _conv3x3(x, weight, False)
    return y


def conv3x3_bias_act(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    act: Activation,
    negative_slope: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """Return `bias_act(conv2d(x, weight, padding=1), bias, ...)`, where `conv3x3_pays`, for linear, relu and lrelu."""
    bias = None if bias is None else bias.to(sum_type(x.dtype))
    y: Tensor = _conv3x3_bias_act(x, weight, bias, act, negative_slope, gain, clamp)
    return y


def conv3x3_pays(x: Tensor, weight: Tensor) -> bool:
    """Return whether `conv3x3` takes these and is quicker than the vendor's convolution."""
    if x.dtype != weight.dtype or weight.shape[2:] != (3, 3) or not _allowed(x.device.type, x.dtype):
        return False
    if not _conv3x3.is_native_for(x) or torch.is_autocast_enabled(x.device.type) or torch.compiler.is_exporting():
        return False
    out_channels, in_channels = weight.shape[:2]
    samples, _, height, width = x.shape
    if 0 in (samples, height, width, in_channels, out_channels):
        return False
    # Multiply-adds for each pair of channels, of which vectors take 16 at a time.
    wide_in, wide_out = max(in_channels, 16), max(out_channels, 16)
    transforms = _TRANSFORM_TILE * (1 / wide_in + 1 / wide_out)

    def cost(side: int) -> float:
        tiles, points = samples * -(-height // side) * -(-width // side), (side + 2) ** 2
        return points * (tiles * (1 + transforms / 64) + _TRANSFORM_WEIGHT / 64) * wide_in * wide_out

    direct = 9 * samples * height * width * in_channels * out_channels
    return bool(1.15 * min(cost(6), cost(4)) < direct)


def conv3x3_reference(x: Tensor, weight: Tensor, turned: bool) -> Tensor:
    """Define `conv3x3` and, `turned`, its gradient for x, given that of y in the place of x."""
    with torch.autocast(x.device.type, enabled=False):
        return F.conv_transpose2d(x, weight, padding=1) if turned else F.conv2d(x, weight, padding=1)


def conv3x3_bias_act_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    act: Activation,
    negative_slope: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """Define `conv3x3_bias_act` by its steps."""
    return bias_act_reference(conv3x3_reference(x, weight, False), bias, act, negative_slope, gain, clamp)


def conv3x3_weight_reference(x: Tensor, grad: Tensor) -> Tensor:
    """Define the gradient of `conv3x3` for weight, given that of y."""
    with torch.autocast(x.device.type, enabled=False):
        taps = F.unfold(x, 3, padding=1).reshape(len(x), x.shape[1], 9, -1)
        weight = torch.einsum("ncap,nkp->kca", taps, grad.flatten(2))
    return weight.reshape(grad.shape[1], x.shape[1], 3, 3)


_TYPES = {"cpu": frozenset({torch.float32, torch.bfloat16})}

_conv3x3 = own_op("conv3x3", conv3x3_reference, _TYPES)
_conv3x3_bias_act = own_op("conv3x3_bias_act", conv3x3_bias_act_reference, _TYPES)
_conv3x3_weight = own_op("conv3x3_weight", conv3x3_weight_reference, _TYPES)


@constant_when_compiled
def _allowed(device: str, dtype: torch.dtype) -> bool:
    """Return whether the user's precision and the processor leave the choice to us."""
    if device != "cpu" or not _conv3x3.loaded:
        return False
    if dtype == torch.bfloat16:
        return str(torch.ops.ganart.use_cpu_isa("")) != "avx512bf16"
    convolutions: Any = torch.backends.mkldnn.conv  # type: ignore[attr-defined]  # set when torch is imported
    return str(convolutions.fp32_precision) != "ieee"


# ---- what torch needs to know of the native ops: shapes without data, and derivatives ----


def _like_result(x: Tensor, weight: Tensor, turned: bool) -> Tensor:
    result = x.new_empty((x.shape[0], weight.shape[1 if turned else 0], *x.shape[2:]))
    return torch.empty_like(result, memory_format=torch.contiguous_format if result.numel() == 0 else result_format(x))


def _like_weight(x: Tensor, grad: Tensor) -> Tensor:
    return x.new_empty((grad.shape[1], x.shape[1], 3, 3))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, ctx.turned = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    x, weight = ctx.saved_tensors
    x_wanted, weight_wanted, _ = ctx.needs_input_grad
    grad_x = torch.ops.ganart.conv3x3.default(grad, weight, not ctx.turned) if x_wanted else None
    ends = (grad, x) if ctx.turned else (x, grad)
    return grad_x, torch.ops.ganart.conv3x3_weight.default(*ends) if weight_wanted else None, None


def _setup_bias_act(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, *ctx.settings = inputs
    ctx.save_for_backward(x, weight, output)


def _backward_bias_act(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, y = ctx.saved_tensors
    x_wanted, weight_wanted, bias_wanted = ctx.needs_input_grad[:3]
    grad_z, grad_bias = gradients_from_output(grad, y, ctx.settings, bias_wanted)
    grad_x = torch.ops.ganart.conv3x3.default(grad_z, weight, True) if x_wanted else None
    grad_weight = torch.ops.ganart.conv3x3_weight.default(x, grad_z) if weight_wanted else None
    return grad_x, grad_weight, grad_bias, *[None] * 4


def _setup_weight(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward_weight(ctx: Any, grad_weight: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, grad = ctx.saved_tensors
    x_wanted, grad_wanted = ctx.needs_input_grad
    conv = torch.ops.ganart.conv3x3.default
    return conv(grad, grad_weight, True) if x_wanted else None, conv(x, grad_weight, False) if grad_wanted else None


if _conv3x3.loaded:
    torch.library.register_fake("ganart::conv3x3", _like_result)
    torch.library.register_fake("ganart::conv3x3_bias_act", lambda x, weight, *_: _like_result(x, weight, False))
    torch.library.register_fake("ganart::conv3x3_weight", _like_weight)
    torch.library.register_autograd("ganart::conv3x3", _backward, setup_context=_setup)
    torch.library.register_autograd("ganart::conv3x3_bias_act", _backward_bias_act, setup_context=_setup_bias_act)
    torch.library.register_autograd("ganart::conv3x3_weight", _backward_weight, setup_context=_setup_weight)
