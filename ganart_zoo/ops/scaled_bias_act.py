"""Scale, noise, bias, activation, gain and clamp in one pass, before and after a modulated convolution.

Formula     z = x * scale[n, c] + noise[n, pixel] + bias[c]; y = act(z) * gain; with `clamp`, values beyond ±clamp
            become ±clamp.
Shapes      x [N, C, H, W], scale [N, C], noise [N or 1, 1, H, W], bias [C], the last three optional; y like x.
Layouts     contiguous and channels_last inputs are read in place, anything else is copied once; y keeps x's layout.
Types       float32, bfloat16, float64, and float16 on CUDA. Scale, noise, bias and the arithmetic are float32 (float64
            for float64), rounded once.
Gradient    any order for x, scale, noise and bias; zero where the result is clamped. x is kept, y is not.
Cost        forward one read and one write; backward two reads and one write, including the sums. The gradient is
            differentiated through its parts: products, sums and the backward of `bias_act`.
Repeats     bit for bit, from run to run and for any number of threads.
Source      T. Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganart_zoo.ops.activation import Activation, default_gain
from ganart_zoo.ops.bias_act import KEEPS_X, bias_act_backward, bias_act_reference, inner_bias_act
from ganart_zoo.ops.checks import check_channels, check_device, check_shape
from ganart_zoo.ops.dispatch import InnerOp, own_op
from ganart_zoo.ops.dtypes import NATIVE_TYPES, sum_type
from ganart_zoo.ops.layout import like_features
from ganart_zoo.ops.workloads import shaped

__all__ = ["scaled_bias_act"]


def scaled_bias_act(
    op: str,
    x: Tensor,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    act: Activation = "linear",
    negative_slope: float = 0.2,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Run the op for the public function `op`, which has checked x, the activation and the scale.

    Raises:
        SettingsError: Another argument is out of its range, or shapes or devices do not fit together.
    """
    dtype = sum_type(x.dtype)
    if noise is not None:
        samples, _, *sides = x.shape
        check_shape(op, "noise", noise, [[samples, 1, *sides], [1, 1, *sides]], x, "results")
        check_device(op, "noise", noise, x)
        noise = noise.to(dtype)
    if bias is not None:
        check_channels(op, "bias", bias, x)
        bias = bias.to(dtype)
    gain = default_gain(act) if gain is None else gain
    scale = None if scale is None else scale.to(dtype)
    y: Tensor = _scaled_bias_act(x, scale, noise, bias, act, float(negative_slope), float(gain), clamp)
    return y


def scaled_bias_act_reference(
    x: Tensor,
    scale: Tensor | None,
    noise: Tensor | None,
    bias: Tensor | None,
    act: Activation,
    negative_slope: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """Define `scaled_bias_act` in plain PyTorch."""
    z = _scale_and_add(x.to(sum_type(x.dtype)), scale, noise)
    return bias_act_reference(z, bias, act, negative_slope, gain, clamp).to(x.dtype)


def _scale_and_add(x: Tensor, scale: Tensor | None, noise: Tensor | None) -> Tensor:
    z = x if scale is None else x * scale[..., None, None]
    return z if noise is None else z + noise


# What torch needs to know about the native op: shapes without data, and derivatives.

_scaled_bias_act = own_op(
    "scaled_bias_act",
    scaled_bias_act_reference,
    NATIVE_TYPES,
    {
        "small": (shaped(1, 16, 32, 32), shaped(1, 16), shaped(1, 1, 32, 32), shaped(16), "lrelu", 0.2, 2**0.5, None),
        "standard": (
            *(shaped(4, 128, 128, 128), shaped(4, 128), shaped(4, 1, 128, 128), shaped(128)),
            *("lrelu", 0.2, 2**0.5, None),
        ),
    },
)


def _like_gradients(grad: Tensor, x: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    wants_x, *wanted = arguments[-4:]
    samples, channels, *sides = x.shape
    shapes = [(samples, channels), (samples, 1, *sides), (channels,)]
    return like_features(x) if wants_x else x.new_empty(0), *(
        x.new_empty(shape if wants else 0, dtype=sum_type(x.dtype)) for shape, wants in zip(shapes, wanted, strict=True)
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, act, negative_slope, gain, clamp = inputs
    ctx.settings = act, negative_slope, gain, clamp
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, scale, noise, bias = ctx.saved_tensors
    wanted = ctx.needs_input_grad[:4]
    # With create_graph, the gradient is computed in parts that can be differentiated again.
    compute = _gradients_in_parts if torch.is_grad_enabled() else _scaled_bias_act_backward
    gradients = compute(grad, x, scale, noise, bias, *ctx.settings, *wanted)
    grad_x, grad_scale, grad_noise, grad_bias = (
        gradient if wants else None for gradient, wants in zip(gradients, wanted, strict=True)
    )
    if grad_noise is not None:
        grad_noise = grad_noise.sum_to_size(noise.shape)
    return grad_x, grad_scale, grad_noise, grad_bias, None, None, None, None


def _gradients_in_parts(
    grad: Tensor,
    x: Tensor,
    scale: Tensor | None,
    noise: Tensor | None,
    bias: Tensor | None,
    act: Activation,
    negative_slope: float,
    gain: float,
    clamp: float | None,
    wants_x: bool,
    wants_scale: bool,
    wants_noise: bool,
    wants_bias: bool,
) -> tuple[Tensor | None, ...]:
    """Return the results of the native backward, computed by ops that can be differentiated again."""
    dtype, settings = sum_type(x.dtype), (act, negative_slope, gain, clamp)
    wide, grad = x.to(dtype), grad.to(dtype)
    if act == "linear" and clamp is None:
        grad_z = grad if gain == 1 else grad * gain
        grad_bias = grad_z.sum([0, 2, 3]) if wants_bias else None
    else:
        kept = _scale_and_add(wide, scale, noise)
        if act not in KEEPS_X:
            kept, bias = inner_bias_act(kept, bias, *settings), None
        grad_z, grad_bias = bias_act_backward(grad, kept, bias, *settings, wants_bias)
    return (
        _scale_and_add(grad_z, scale, None).to(x.dtype) if wants_x else None,
        (grad_z * wide).sum([2, 3]) if wants_scale else None,
        grad_z.sum(1, keepdim=True) if wants_noise else None,
        grad_bias,
    )


_scaled_bias_act_backward = InnerOp("scaled_bias_act_backward", _gradients_in_parts)

if _scaled_bias_act.loaded:
    torch.library.register_fake("ganart::scaled_bias_act", lambda x, *_: like_features(x))
    torch.library.register_fake("ganart::scaled_bias_act_backward", _like_gradients)
    _scaled_bias_act.register_autograd(_backward, setup_context=_setup)
