"""Instance normalisation, a scale and a shift per channel (or per sample and channel), and an activation.

Formula     m, v = mean and variance of x over its pixels; y = act((x - m) / sqrt(v + eps) * weight + bias).
Shapes      x [N, C, H, W]; weight and bias [C], or [N, C] for conditional and adaptive norms; y like x.
Layouts     contiguous and channels_last inputs are read in place, anything else is copied once; y keeps x's layout.
Types       float32, bfloat16, float64, and float16 on CUDA. Statistics, weight and bias are float32 (float64 for
            float64); v divides by H*W.
Gradient    any order for x, weight and bias.
Repeats     bit for bit, from run to run and for any number of threads.
Source      D. Ulyanov et al., "Instance normalization", 2016; V. Dumoulin et al., "A learned representation for
            artistic style", ICLR 2017, for one scale and shift per style.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganart_zoo.ops.activation import Activation, activate
from ganart_zoo.ops.checks import check_above_zero, check_activation, check_channels, check_pictures
from ganart_zoo.ops.dispatch import own_op
from ganart_zoo.ops.dtypes import NATIVE_TYPES, sum_type
from ganart_zoo.ops.layout import like_features
from ganart_zoo.ops.norm_derivatives import register_norm_derivatives
from ganart_zoo.ops.workloads import shaped

__all__ = ["instance_norm_act"]


def instance_norm_act(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    act: Activation = "linear",
    negative_slope: float = 0.2,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each sample over its pixels, scale, shift and activate.

    Args:
        x: `[N, C, H, W]`, floating point.
        weight: `[C]`, or `[N, C]` for one scale per sample and channel; None for 1.
        bias: `[C]` or `[N, C]`; None for 0.
        act: `linear`, `relu`, `lrelu`, `tanh`, `sigmoid`, `elu`, `selu`, `softplus` or `swish`; no gain is applied.
        negative_slope: The slope of `lrelu` below 0; 0 or more.
        eps: Added to the variance; above 0.

    Returns:
        Like `x`.

    Raises:
        SettingsError: An argument is out of its range, or shapes or devices do not fit together.
    """
    check_pictures("instance_norm_act", x)
    check_activation("instance_norm_act", act, negative_slope)
    for name, values in (("weight", weight), ("bias", bias)):
        if values is not None:
            check_channels("instance_norm_act", name, values, x, per_sample=True)
    return normalize("instance_norm_act", x, weight, bias, act, negative_slope, eps)


def normalize(
    op: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, act: Activation, negative_slope: float, eps: float
) -> Tensor:
    """Run the op for the public function `op`, which has checked its arguments."""
    check_above_zero(op, "eps", eps)
    dtype = sum_type(x.dtype)
    weight = None if weight is None else weight.to(dtype)
    bias = None if bias is None else bias.to(dtype)
    y: Tensor = _instance_norm_act(x, weight, bias, act, float(negative_slope), float(eps))[0]
    return y


def instance_norm_act_reference(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, act: Activation, negative_slope: float, eps: float
) -> Tensor:
    """Define `instance_norm_act` in plain PyTorch."""
    return _results_reference(x, weight, bias, act, negative_slope, eps)[0]


def _results_reference(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, act: Activation, negative_slope: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, and for each sample and channel the mean and the factor that makes the variance 1."""
    z = x.to(sum_type(x.dtype))
    mean = z.mean([2, 3], keepdim=True)
    centred = z - mean
    scale = (centred.square().mean([2, 3], keepdim=True) + eps).rsqrt()
    z = centred * scale
    if weight is not None:
        z = z * weight[..., None, None]
    if bias is not None:
        z = z + bias[..., None, None]
    return activate(z, act, negative_slope).to(x.dtype), mean[..., 0, 0], scale[..., 0, 0]


# What torch needs to know about the native op: shapes without data, and derivatives.

_instance_norm_act = own_op(
    "instance_norm_act",
    _results_reference,
    NATIVE_TYPES,
    {
        "small": (shaped(1, 16, 32, 32), shaped(16), shaped(16), "relu", 0.2, 1e-5),
        "standard": (shaped(1, 64, 256, 256), shaped(64), shaped(64), "relu", 0.2, 1e-5),
    },
)


def _like_results(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    mean = x.new_empty(x.shape[:2], dtype=sum_type(x.dtype))
    return like_features(x), mean, torch.empty_like(mean)


if _instance_norm_act.loaded:
    torch.library.register_fake("ganart::instance_norm_act", _like_results)
    register_norm_derivatives(_instance_norm_act, instance_norm_act_reference)
