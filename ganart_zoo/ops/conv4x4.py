"""A trainable 4x4 convolution of stride 2 by Winograd's algorithm, and its transpose, where that is faster.

Formula     z[n, k, i, j] = sum over c, a, b of x[n, c, 2i + a - 1, 2j + b - 1] * weight[k, c, a, b], zeros outside x,
            and y = clamp(act(z + bias) * gain) in the same pass, for activations that are linear on each side of 0. The
            transpose is the gradient of z for x. The convolution, its transpose and the gradient for weight are each
            other's derivatives, so derivatives of any order are native.
Shapes      x [N, C, H, W], weight [K, C, 4, 4], bias [K], y [N, K, H // 2, W // 2].
Layouts     contiguous and channels_last inputs are read in place, anything else is copied once; y keeps x's layout.
Types       float32.
Accuracy    errors are about 1e-5 of the result's standard deviation, four times those of a direct convolution.
            `torch.backends.mkldnn.conv.fp32_precision = "ieee"` selects the direct convolution.
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
from ganart_zoo.ops.layout import result_format
from ganart_zoo.ops.workloads import shaped

__all__ = ["conv4x4", "conv4x4_bias_act", "conv4x4_pays", "conv4x4_transposed", "conv4x4_transposed_pays"]


class Costs(NamedTuple):
    """The cost model's constants. benchmarks/fit_conv4x4.py derives them anew from timings."""

    tile: float
    """Multiply-adds that take as long as the transforms of one channel of a tile of 4 x 4 results."""
    weight: float
    """The same for the weights of a pair of channels."""
    margin: float
    """How much less efficient a multiply-add of ours is than one of the vendor library."""
    call: float
    """Multiply-adds that take as long as what the vendor library does once per call."""


COSTS = Costs(400, 600, 1.0, 1e6)


def conv4x4(x: Tensor, weight: Tensor) -> Tensor:
    """Return `conv2d(x, weight, stride=2, padding=1)`, for arguments with which `conv4x4_pays`."""
    y: Tensor = _conv4x4(x, weight)
    return y


def conv4x4_bias_act(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    act: Activation,
    negative_slope: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """Return `bias_act(conv2d(x, weight, stride=2, padding=1), bias, ...)` for linear, relu and lrelu."""
    y: Tensor = _conv4x4_bias_act(x, weight, bias, act, negative_slope, gain, clamp)
    return y


def conv4x4_transposed(x: Tensor, weight: Tensor) -> Tensor:
    """Return `conv_transpose2d(x, weight, stride=2, padding=1)`, for arguments with which `conv4x4_transposed_pays`."""
    y: Tensor = _conv4x4_transposed(x, weight, False, False)
    return y


def conv4x4_pays(x: Tensor, weight: Tensor) -> bool:
    """Return whether `conv4x4` accepts these arguments and is expected to beat the vendor library's convolution."""
    if not _accepts(x, weight) or x.shape[1] != weight.shape[1]:
        return False
    out_channels, in_channels = weight.shape[:2]
    samples, _, height, width = x.shape
    return _pays(samples, height // 2, width // 2, in_channels, out_channels, ("forward", "gradient"), x, weight)


def conv4x4_transposed_pays(x: Tensor, weight: Tensor) -> bool:
    """Return the same of `conv4x4_transposed`."""
    if not _accepts(x, weight) or x.shape[1] != weight.shape[0]:
        return False
    out_channels, in_channels = weight.shape[:2]
    samples, _, height, width = x.shape
    return _pays(samples, height, width, in_channels, out_channels, ("gradient", "forward"), x, weight)


def _accepts(x: Tensor, weight: Tensor) -> bool:
    if x.dtype != weight.dtype or weight.shape[2:] != (4, 4) or costs(x.device.type, x.dtype) is None:
        return False
    autocast = torch.is_autocast_enabled(x.device.type)
    return _conv4x4.is_native_for(x) and not autocast and not torch.compiler.is_exporting()


def _pays(
    samples: int,
    height: int,
    width: int,
    in_channels: int,
    out_channels: int,
    passes: tuple[str, str],
    x: Tensor,
    weight: Tensor,
) -> bool:
    """Compare the passes that will run: the first, and backwards that of x and that of weight."""
    if 0 in (samples, height, width, in_channels, out_channels):
        return False
    sizes = (samples, height, width, in_channels, out_channels)
    learns = torch.is_grad_enabled()
    wanted = [passes[0], *([passes[1]] if learns and x.requires_grad else [])]
    wanted += ["weight"] if learns and weight.requires_grad else []
    constants = costs(x.device.type, x.dtype)
    assert constants is not None  # as _accepts saw
    products, per_tile, per_weight = cost_terms(*sizes)
    ours = products + constants.tile * per_tile + constants.weight * per_weight
    vendors = sum(constants.call + direct_cost(*sizes, each) for each in wanted)
    return bool(constants.margin * ours * len(wanted) < vendors)


def cost_terms(
    samples: int, height: int, width: int, in_channels: int, out_channels: int
) -> tuple[float, float, float]:
    """Return the multiply-adds of the products, and what a unit of each constant of transforms adds to them.

    `height` and `width` are those of y.
    """
    inner, outer = max(4 * in_channels, 16), max(out_channels, 16)  # vectors process 16 channels at a time
    tiles, points = samples * -(-height // 4) * -(-width // 4), 25
    # the phases of 16 channels are transformed together
    return points * tiles * inner * outer, tiles * (max(4 * in_channels, 64) + outer), inner * outer / 4


def direct_cost(samples: int, height: int, width: int, in_channels: int, out_channels: int, which: str) -> float:
    """Return the multiply-adds of the vendor library, whose vectors hold 16 channels of a result."""
    if which == "gradient":
        in_channels = -(-in_channels // 16) * 16
    else:
        out_channels = -(-out_channels // 16) * 16
    return 16 * samples * height * width * in_channels * out_channels


def conv4x4_reference(x: Tensor, weight: Tensor) -> Tensor:
    """Define `conv4x4`."""
    with torch.autocast(x.device.type, enabled=False):
        return F.conv2d(x, weight, stride=2, padding=1)


def conv4x4_bias_act_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    act: Activation,
    negative_slope: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """Define `conv4x4_bias_act` by its steps."""
    return bias_act_reference(conv4x4_reference(x, weight), bias, act, negative_slope, gain, clamp)


def conv4x4_transposed_reference(x: Tensor, weight: Tensor, odd_height: bool, odd_width: bool) -> Tensor:
    """Define `conv4x4_transposed`; a row or a column more is the gradient of an x of odd height or width."""
    with torch.autocast(x.device.type, enabled=False):
        return F.conv_transpose2d(x, weight, stride=2, padding=1, output_padding=(int(odd_height), int(odd_width)))


def conv4x4_weight_reference(x: Tensor, grad: Tensor) -> Tensor:
    """Define the gradient of `conv4x4` for weight, given the gradient of y."""
    with torch.autocast(x.device.type, enabled=False):
        taps = F.unfold(x, 4, padding=1, stride=2).reshape(len(x), x.shape[1], 16, -1)
        weight = torch.einsum("ncap,nkp->kca", taps, grad.flatten(2))
    return weight.reshape(grad.shape[1], x.shape[1], 4, 4)


_TYPES = {"cpu": frozenset({torch.float32})}

_SMALL, _SMALL_Y, _SMALL_WEIGHT = shaped(4, 32, 16, 16), shaped(4, 32, 8, 8), shaped(32, 32, 4, 4)
_STANDARD, _STANDARD_Y, _STANDARD_WEIGHT = shaped(16, 64, 64, 64), shaped(16, 128, 32, 32), shaped(128, 64, 4, 4)
_LAYER = ("lrelu", 0.2, 1.0, None)

_conv4x4 = own_op(
    "conv4x4", conv4x4_reference, _TYPES, {"small": (_SMALL, _SMALL_WEIGHT), "standard": (_STANDARD, _STANDARD_WEIGHT)}
)
_conv4x4_bias_act = own_op(
    "conv4x4_bias_act",
    conv4x4_bias_act_reference,
    _TYPES,
    {
        "small": (_SMALL, _SMALL_WEIGHT, shaped(32), *_LAYER),
        "standard": (_STANDARD, _STANDARD_WEIGHT, shaped(128), *_LAYER),
    },
)
_conv4x4_transposed = own_op(
    "conv4x4_transposed",
    conv4x4_transposed_reference,
    _TYPES,
    {
        "small": (_SMALL_Y, _SMALL_WEIGHT, False, False),
        "standard": (_STANDARD_Y, _STANDARD_WEIGHT, False, False),
    },
)
_conv4x4_weight = own_op(
    "conv4x4_weight",
    conv4x4_weight_reference,
    _TYPES,
    {"small": (_SMALL, _SMALL_Y), "standard": (_STANDARD, _STANDARD_Y)},
)
_inner_conv4x4 = InnerOp("conv4x4", conv4x4_reference)
_inner_conv4x4_transposed = InnerOp("conv4x4_transposed", conv4x4_transposed_reference)
_inner_conv4x4_weight = InnerOp("conv4x4_weight", conv4x4_weight_reference)


@constant_when_compiled
def costs(device: str, dtype: torch.dtype) -> Costs | None:
    """Return the constants for a type, or None where the user's precision rules Winograd out."""
    if device != "cpu" or dtype != torch.float32 or not _conv4x4.loaded:
        return None
    convolutions: Any = torch.backends.mkldnn.conv  # type: ignore[attr-defined]  # set when torch is imported
    return None if convolutions.fp32_precision == "ieee" else COSTS


# What torch needs to know about the native ops: shapes without data, and derivatives.


def _like(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    result = x.new_empty((x.shape[0], channels, height, width))
    return torch.empty_like(result, memory_format=torch.contiguous_format if result.numel() == 0 else result_format(x))


def _like_result(x: Tensor, weight: Tensor, *_: Any) -> Tensor:
    return _like(x, weight.shape[0], x.shape[2] // 2, x.shape[3] // 2)


def _like_transposed(x: Tensor, weight: Tensor, odd_height: bool, odd_width: bool) -> Tensor:
    return _like(x, weight.shape[1], 2 * x.shape[2] + odd_height, 2 * x.shape[3] + odd_width)


def _like_weight(x: Tensor, grad: Tensor) -> Tensor:
    return x.new_empty((grad.shape[1], x.shape[1], 4, 4))


def _parity(x: Tensor) -> tuple[bool, bool]:
    return bool(x.shape[2] % 2), bool(x.shape[3] % 2)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, weight = ctx.saved_tensors
    x_wanted, weight_wanted = ctx.needs_input_grad
    grad_x = _inner_conv4x4_transposed(grad, weight, *_parity(x)) if x_wanted else None
    return grad_x, _inner_conv4x4_weight(x, grad) if weight_wanted else None


def _setup_bias_act(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, *ctx.settings = inputs
    ctx.save_for_backward(x, weight, output)


def _backward_bias_act(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, y = ctx.saved_tensors
    x_wanted, weight_wanted, bias_wanted = ctx.needs_input_grad[:3]
    grad_z, grad_bias = gradients_from_output(grad, y, ctx.settings, bias_wanted)
    grad_x = _inner_conv4x4_transposed(grad_z, weight, *_parity(x)) if x_wanted else None
    grad_weight = _inner_conv4x4_weight(x, grad_z) if weight_wanted else None
    return grad_x, grad_weight, grad_bias, *[None] * 4


def _setup_transposed(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])


def _backward_transposed(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
    x, weight = ctx.saved_tensors
    x_wanted, weight_wanted, *_ = ctx.needs_input_grad
    grad_x = _inner_conv4x4(grad, weight) if x_wanted else None
    return grad_x, _inner_conv4x4_weight(grad, x) if weight_wanted else None, None, None


def _backward_weight(ctx: Any, grad_weight: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, grad = ctx.saved_tensors
    x_wanted, grad_wanted = ctx.needs_input_grad
    grad_x = _inner_conv4x4_transposed(grad, grad_weight, *_parity(x)) if x_wanted else None
    return grad_x, _inner_conv4x4(x, grad_weight) if grad_wanted else None


if _conv4x4.loaded:
    torch.library.register_fake("ganart::conv4x4", _like_result)
    torch.library.register_fake("ganart::conv4x4_bias_act", _like_result)
    torch.library.register_fake("ganart::conv4x4_transposed", _like_transposed)
    torch.library.register_fake("ganart::conv4x4_weight", _like_weight)
    _conv4x4.register_autograd(_backward, setup_context=_setup)
    _conv4x4_bias_act.register_autograd(_backward_bias_act, setup_context=_setup_bias_act)
    _conv4x4_transposed.register_autograd(_backward_transposed, setup_context=_setup_transposed)
    _conv4x4_weight.register_autograd(_backward_weight, setup_context=_setup)
