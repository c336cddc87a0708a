"""Bias, activation, gain and clamp in one pass.

Formula     z = x + bias[c]; y = act(z) * gain; with `clamp`, values beyond ±clamp become ±clamp.
Shapes      x [N, C, ...], bias [C]; y like x.
Layouts     contiguous and channels_last inputs are read in place, anything else is copied once; y keeps x's layout.
Types       float32, bfloat16, float64, and float16 on CUDA. The arithmetic is float32 (float64 for float64), rounded
            once.
Gradient    any order for x and bias; zero where the result is clamped. relu, lrelu, tanh and sigmoid keep y for it,
            elu, selu, softplus and swish keep x, linear keeps neither.
Cost        forward one read and one write; backward two reads and one write, including the sum for the bias.
Repeats     bit for bit, from run to run and for any number of threads.
Source      T. Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020, for the
            default gains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ganart_zoo.ops.activation import SELU_ALPHA, SELU_SCALE, Activation, activate, default_gain
from ganart_zoo.ops.checks import check_activation, check_channels, check_features
from ganart_zoo.ops.dispatch import InnerOp, own_op
from ganart_zoo.ops.dtypes import NATIVE_TYPES, sum_type
from ganart_zoo.ops.higher_order import pull_back
from ganart_zoo.ops.layout import like_features
from ganart_zoo.ops.workloads import shaped

__all__ = ["bias_act"]


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    *,
    act: Activation = "linear",
    negative_slope: float = 0.2,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Add a bias to each channel, then apply an activation, a gain and a clamp.

    Args:
        x: `[N, C, ...]`, floating point.
        bias: `[C]`, or None for no bias.
        act: `linear`, `relu`, `lrelu`, `tanh`, `sigmoid`, `elu`, `selu`, `softplus` or `swish`.
        negative_slope: The slope of `lrelu` below 0; 0 or more.
        gain: Factor of the activation's result, above 0; None means sqrt(2) for relu, lrelu and swish, else 1.
        clamp: The largest magnitude of a result, above 0; None means no limit.

    Returns:
        Like `x`.

    Raises:
        SettingsError: An argument is out of its range, or shapes or devices do not fit together.
    """
    check_activation("bias_act", act, negative_slope, gain, clamp)
    check_features("bias_act", x)
    if bias is not None:
        check_channels("bias_act", "bias", bias, x)
        bias = bias.to(sum_type(x.dtype))
    gain = default_gain(act) if gain is None else gain
    y: Tensor = _bias_act(x, bias, act, float(negative_slope), float(gain), clamp)
    return y


def bias_act_reference(
    x: Tensor, bias: Tensor | None, act: Activation, negative_slope: float, gain: float, clamp: float | None
) -> Tensor:
    """Define `bias_act` in plain PyTorch."""
    z = x if bias is None else x + _per_channel(bias, x)
    y = activate(z, act, negative_slope)
    if gain != 1:
        y = y * gain
    if clamp is not None:
        y = torch.where(y.abs() < clamp, y, y.detach().clamp(-clamp, clamp))
    return y


# What torch needs to know about the native op: shapes without data, and derivatives.

KEEPS_X = frozenset({"elu", "selu", "softplus", "swish"})  # their derivative is not a function of their result
PIECEWISE_LINEAR = frozenset({"linear", "relu", "lrelu"})

_bias_act = own_op(
    "bias_act",
    bias_act_reference,
    NATIVE_TYPES,
    {
        "small": (shaped(1, 16, 32, 32), shaped(16), "lrelu", 0.2, 2**0.5, None),
        "standard": (shaped(8, 64, 128, 128), shaped(64), "lrelu", 0.2, 2**0.5, None),
    },
)


inner_bias_act = InnerOp("bias_act", bias_act_reference)
bias_act_backward = InnerOp("bias_act_backward", lambda *arguments: bias_act_backward_reference(*arguments[:-1]))


def _like_gradients(grad: Tensor, kept: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    return like_features(kept), kept.new_empty(kept.shape[1] if arguments[-1] else 0, dtype=sum_type(kept.dtype))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, bias, *ctx.settings = inputs
    act, _, _, clamp = ctx.settings
    linear = act == "linear" and clamp is None
    kept = None if linear else x if act in KEEPS_X else output
    ctx.save_for_backward(kept, bias if act in KEEPS_X else None)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    kept, bias = ctx.saved_tensors
    wants_x, wants_bias = ctx.needs_input_grad[:2]
    if bias is None:
        grad_x, grad_bias = gradients_from_output(grad, kept, ctx.settings, wants_bias)
    else:
        grad_x, grad_bias = bias_act_backward(grad, kept, bias, *ctx.settings, wants_bias)
    return grad_x if wants_x else None, grad_bias if wants_bias else None, None, None, None, None


def gradients_from_output(
    grad: Tensor, kept: Tensor | None, settings: Sequence[Any], wants_bias: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the gradients of x and bias from the native kernel.

    Args:
        grad: The gradient of y.
        kept: y, or for the activations in `KEEPS_X` x, without a bias; not read if the layer is linear.
        settings: The act, negative slope, gain and clamp of `bias_act`.
        wants_bias: Whether the gradient of bias is needed; it is None otherwise.
    """
    act, _, gain, clamp = settings
    if act == "linear" and clamp is None:
        grad_x = grad if gain == 1 else grad * gain
        return grad_x, sums_of_channels(grad_x) if wants_bias else None
    grad_x, grad_bias = bias_act_backward(grad, kept, None, *settings, wants_bias)
    return grad_x, grad_bias if wants_bias else None


def sums_of_channels(grad: Tensor) -> Tensor:
    """Return the sums of a gradient over samples and pixels, `[C]`, the same bits for any number of threads."""
    if grad.shape[1] == 1:  # torch would split a single sum by the number of threads
        sums: Tensor = bias_act_backward(grad, grad, None, "linear", 0.0, 1.0, None, True)[1]
        return sums
    return grad.sum([dim for dim in range(grad.dim()) if dim != 1], dtype=sum_type(grad.dtype))


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    grad, kept, bias, *ctx.settings, ctx.wants_bias = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(grad, kept, bias)


def _double_backward(ctx: Any, back_x: Tensor | None, back_bias: Tensor | None) -> tuple[Tensor | None, ...]:
    grad, kept, bias = ctx.saved_tensors
    if not ctx.wants_bias:
        back_bias = None
    nothing = [None] * 5
    if ctx.settings[0] not in PIECEWISE_LINEAR:

        def gradients(grad: Tensor, kept: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
            return bias_act_backward_reference(grad, kept, bias, *ctx.settings)

        return *pull_back(gradients, (grad, kept, bias), (back_x, back_bias)), *nothing
    # Linear in `grad`, with the same slopes.
    if back_bias is not None:
        spread = _per_channel(back_bias, kept)
        back_x = spread.expand_as(kept) if back_x is None else back_x + spread
    if back_x is None:
        return None, None, None, *nothing
    return bias_act_backward(back_x, kept, bias, *ctx.settings, False)[0], None, None, *nothing


def bias_act_backward_reference(
    grad: Tensor,
    kept: Tensor,
    bias: Tensor | None,
    act: Activation,
    negative_slope: float,
    gain: float,
    clamp: float | None,
) -> tuple[Tensor, Tensor]:
    """Define the backward in plain PyTorch; `kept` is y, or for some activations x."""
    wide = kept.to(sum_type(kept.dtype))
    z = wide if bias is None else wide + _per_channel(bias, kept)
    y = activate(z, act, negative_slope) * gain if act in KEEPS_X else wide
    slopes: dict[str, Callable[[Tensor], Tensor]] = {
        "linear": torch.ones_like,
        "relu": lambda a: (a > 0).to(a.dtype),
        "lrelu": lambda a: torch.where(a > 0, 1.0, negative_slope).to(a.dtype),
        "tanh": lambda a: 1 - a.square(),
        "sigmoid": lambda a: a * (1 - a),
        "elu": lambda z: torch.where(z > 0, 1.0, z.clamp(max=0).exp()),
        "selu": lambda z: torch.where(z > 0, 1.0, SELU_ALPHA * z.clamp(max=0).exp()) * SELU_SCALE,
        "softplus": torch.sigmoid,
        "swish": lambda z: torch.sigmoid(z) * (1 + z * torch.sigmoid(-z)),
    }
    slope = slopes[act](z if act in KEEPS_X else y / gain) * gain
    if clamp is not None:
        # A clamped output holds the clamp rounded to its own type.
        limit = clamp if act in KEEPS_X else torch.tensor(clamp, dtype=kept.dtype, device=kept.device)
        slope = torch.where(y.detach().abs() < limit, slope, 0.0)
    grad_x = grad * slope
    return grad_x.to(kept.dtype), grad_x.sum([dim for dim in range(kept.dim()) if dim != 1])


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.to(x.dtype).reshape([-1] + [1] * (x.dim() - 2))


if _bias_act.loaded:
    torch.library.register_fake("ganart::bias_act", lambda x, *_: like_features(x))
    torch.library.register_fake("ganart::bias_act_backward", _like_gradients)
    _bias_act.register_autograd(_backward, setup_context=_setup)
    bias_act_backward.register_autograd(_double_backward, setup_context=_setup_backward)
