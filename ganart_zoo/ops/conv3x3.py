"""A trainable 3x3 convolution by Winograd's algorithm, for shapes where it is faster than the vendor library's.

Formula     z[n, k, i, j] = sum over c, a, b of x[n, c, i + a - 1, j + b - 1] * weight[k, c, a, b], zeros outside x, and
            y = clamp(act(z + bias) * gain) in the same pass, for activations that are linear on each side of 0.
            The convolution and its gradients for x and for weight are each other's derivatives, so derivatives of any
            order are native.
Shapes      x [N, C, H, W], weight [K, C, 3, 3], bias [K], y [N, K, H, W].
Layouts     contiguous and channels_last inputs are read in place, anything else is copied once; y keeps x's layout.
Types       float32, and bfloat16 on processors without a matrix unit for it. Products and sums are float32.
Accuracy    errors are about 1e-4 of the result's standard deviation; a direct convolution has 1e-6, TensorFloat-32 has
            5e-4. `torch.backends.mkldnn.conv.fp32_precision = "ieee"` selects the direct convolution.
Repeats     bit for bit, from run to run and for any number of threads.
Source      A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_zoo.ops.activation import Activation
from ganart_zoo.ops.bias_act import bias_act_reference, gradients_from_output
from ganart_zoo.ops.dispatch import InnerOp, constant_when_compiled, own_op
from ganart_zoo.ops.dtypes import sum_type
from ganart_zoo.ops.layout import result_format
from ganart_zoo.ops.workloads import shaped

__all__ = ["conv3x3", "conv3x3_bias_act", "conv3x3_pays"]


class Costs(NamedTuple):
    """The cost model's constants. benchmarks/fit_conv3x3.py derives them anew from timings."""

    tile: float
    """Multiply-adds that take as long as the transforms of one channel of a 6 x 6 tile."""
    weight: float
    """The same for the weights of a pair of channels."""
    margin: float
    """How much less efficient a multiply-add of ours is than one of the vendor library."""


COSTS = Costs(1600, 1200, 1.15)
COSTS_BESIDE_DOTS = Costs(416, 708, 3.55)
"""In bfloat16, where the vendor library uses dot products of it. The margin is such that no shape tried was slower."""


def conv3x3(x: Tensor, weight: Tensor) -> Tensor:
    """Return `conv2d(x, weight, padding=1)`, for arguments with which `conv3x3_pays`."""
    y: Tensor = _conv3x3(x, weight, False, None)
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
    """Return `bias_act(conv2d(x, weight, padding=1), bias, ...)` for linear, relu and lrelu, where `conv3x3_pays`."""
    bias = None if bias is None else bias.to(sum_type(x.dtype))
    y: Tensor = _conv3x3_bias_act(x, weight, bias, act, negative_slope, gain, clamp)
    return y


def conv3x3_pays(x: Tensor, weight: Tensor) -> bool:
    """Return whether `conv3x3` accepts these arguments and is expected to beat the vendor library's convolution."""
    if x.dtype != weight.dtype or weight.shape[2:] != (3, 3):
        return False
    constants = costs(x.device.type, x.dtype)
    if constants is None:
        return False
    if not _conv3x3.is_native_for(x) or torch.is_autocast_enabled(x.device.type) or torch.compiler.is_exporting():
        return False
    out_channels, in_channels = weight.shape[:2]
    samples, _, height, width = x.shape
    if 0 in (samples, height, width, in_channels, out_channels):
        return False
    sizes = (samples, height, width, in_channels, out_channels)
    ours = [
        products + constants.tile * per_tile + constants.weight * per_weight
        for products, per_tile, per_weight in (cost_terms(*sizes, 6), cost_terms(*sizes, 4))
    ]
    return bool(constants.margin * min(ours) < 9 * samples * height * width * in_channels * out_channels)


def cost_terms(
    samples: int, height: int, width: int, in_channels: int, out_channels: int, side: int
) -> tuple[float, float, float]:
    """Return the multiply-adds of the products, and what a unit of each constant of transforms adds to them.

    `side` is that of an output tile, 6 or 4.
    """
    wide_in, wide_out = max(in_channels, 16), max(out_channels, 16)  # vectors process 16 channels at a time
    tiles, points = samples * -(-height // side) * -(-width // side), (side + 2) ** 2
    pairs = wide_in * wide_out
    return points * tiles * pairs, points * tiles * (wide_in + wide_out) / 64, points * pairs / 64


def conv3x3_reference(x: Tensor, weight: Tensor, turned: bool, mask: Tensor | None) -> Tensor:
    """Define `conv3x3` or, if `turned`, its gradient for x, with the gradient of y passed as x.

    Where `mask`, of the shape of x, is 0 or less, x counts as 0: with the result of a ReLU for a mask, the gradient of
    y is that of the ReLU.
    """
    x = masked(x, mask)
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
    return bias_act_reference(conv3x3_reference(x, weight, False, None), bias, act, negative_slope, gain, clamp)


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return x with 0 where `mask` is 0 or less."""
    return x if mask is None else x.masked_fill(mask <= 0, 0)


def conv3x3_weight_reference(x: Tensor, grad: Tensor) -> Tensor:
    """Define the gradient of `conv3x3` for weight, given the gradient of y."""
    with torch.autocast(x.device.type, enabled=False):
        taps = F.unfold(x, 3, padding=1).reshape(len(x), x.shape[1], 9, -1)
        weight = torch.einsum("ncap,nkp->kca", taps, grad.flatten(2))
    return weight.reshape(grad.shape[1], x.shape[1], 3, 3)


_TYPES = {"cpu": frozenset({torch.float32, torch.bfloat16})}

_SMALL, _SMALL_WEIGHT = shaped(1, 32, 32, 32), shaped(32, 32, 3, 3)
_STANDARD, _STANDARD_WEIGHT = shaped(1, 128, 128, 128), shaped(128, 128, 3, 3)
_LAYER = ("lrelu", 0.2, 1.0, None)

_conv3x3 = own_op(
    "conv3x3",
    conv3x3_reference,
    _TYPES,
    {"small": (_SMALL, _SMALL_WEIGHT, False, None), "standard": (_STANDARD, _STANDARD_WEIGHT, False, None)},
)
_conv3x3_bias_act = own_op(
    "conv3x3_bias_act",
    conv3x3_bias_act_reference,
    _TYPES,
    {
        "small": (_SMALL, _SMALL_WEIGHT, shaped(32), *_LAYER),
        "standard": (_STANDARD, _STANDARD_WEIGHT, shaped(128), *_LAYER),
    },
)
_conv3x3_weight = own_op(
    "conv3x3_weight",
    conv3x3_weight_reference,
    _TYPES,
    {"small": (_SMALL, _SMALL), "standard": (_STANDARD, _STANDARD)},
)
_inner_conv3x3 = InnerOp("conv3x3", conv3x3_reference)
_inner_conv3x3_weight = InnerOp("conv3x3_weight", conv3x3_weight_reference)


@constant_when_compiled
def costs(device: str, dtype: torch.dtype) -> Costs | None:
    """Return the constants for a type, or None where the user's precision or the processor rules Winograd out."""
    if device != "cpu" or not _conv3x3.loaded:
        return None
    if dtype == torch.bfloat16:
        if torch.cpu._is_amx_tile_supported():
            return None
        return COSTS_BESIDE_DOTS if torch.ops.ganart.use_cpu_isa("") == "avx512bf16" else COSTS
    convolutions: Any = torch.backends.mkldnn.conv  # type: ignore[attr-defined]  # set when torch is imported
    return None if convolutions.fp32_precision == "ieee" else COSTS


# What torch needs to know about the native ops: shapes without data, and derivatives.


def like_convolved(x: Tensor, mask: Tensor | None, out_channels: int) -> Tensor:
    """Return an uninitialised result of a convolution, in the layout of the mask or, without one, of x."""
    result = x.new_empty((x.shape[0], out_channels, *x.shape[2:]))
    leader = x if mask is None else mask
    layout = torch.contiguous_format if result.numel() == 0 else result_format(leader)
    return torch.empty_like(result, memory_format=layout)


def _like_result(x: Tensor, weight: Tensor, turned: bool, mask: Tensor | None) -> Tensor:
    return like_convolved(x, mask, weight.shape[1 if turned else 0])


def _like_weight(x: Tensor, grad: Tensor) -> Tensor:
    return x.new_empty((grad.shape[1], x.shape[1], 3, 3))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, ctx.turned, mask = inputs
    ctx.save_for_backward(x, weight, mask)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
    x, weight, mask = ctx.saved_tensors
    x_wanted, weight_wanted, *_ = ctx.needs_input_grad
    grad_x = masked(_inner_conv3x3(grad, weight, not ctx.turned, None), mask) if x_wanted else None
    if not weight_wanted:
        return grad_x, None, None, None
    ends = (grad, masked(x, mask)) if ctx.turned else (masked(x, mask), grad)
    return grad_x, _inner_conv3x3_weight(*ends), None, None


def _setup_bias_act(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, *ctx.settings = inputs
    ctx.save_for_backward(x, weight, output)


def _backward_bias_act(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, y = ctx.saved_tensors
    x_wanted, weight_wanted, bias_wanted = ctx.needs_input_grad[:3]
    act, _, gain, clamp = ctx.settings
    if act == "relu" and gain == 1 and clamp is None and not (weight_wanted or bias_wanted):
        return _inner_conv3x3(grad, weight, True, y) if x_wanted else None, *[None] * 6
    grad_z, grad_bias = gradients_from_output(grad, y, ctx.settings, bias_wanted)
    grad_x = _inner_conv3x3(grad_z, weight, True, None) if x_wanted else None
    grad_weight = _inner_conv3x3_weight(x, grad_z) if weight_wanted else None
    return grad_x, grad_weight, grad_bias, *[None] * 4


def _setup_weight(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward_weight(ctx: Any, grad_weight: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, grad = ctx.saved_tensors
    x_wanted, grad_wanted = ctx.needs_input_grad
    conv = _inner_conv3x3
    return (
        conv(grad, grad_weight, True, None) if x_wanted else None,
        conv(x, grad_weight, False, None) if grad_wanted else None,
    )


if _conv3x3.loaded:
    torch.library.register_fake("ganart::conv3x3", _like_result)
    torch.library.register_fake("ganart::conv3x3_bias_act", lambda x, weight, *_: _like_result(x, weight, False, None))
    torch.library.register_fake("ganart::conv3x3_weight", _like_weight)
    _conv3x3.register_autograd(_backward, setup_context=_setup)
    _conv3x3_bias_act.register_autograd(_backward_bias_act, setup_context=_setup_bias_act)
    _conv3x3_weight.register_autograd(_backward_weight, setup_context=_setup_weight)
