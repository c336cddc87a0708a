"""Batch normalisation by the statistics of the batch, a scale and a shift per channel or per row, and an activation.

Formula     m, v = mean and variance of x over samples and pixels; y = act((x - m) / sqrt(v + eps) * weight + bias).
Shapes      x [N, C, H, W]; weight and bias [C], or [N, C] for norms that a style or a class scales; y like x; mean and
            variance [C].
Layouts     contiguous and channels_last inputs are read in place, anything else is copied once; y keeps x's layout.
Types       float32, bfloat16, float64. Statistics, weight and bias are float32 (float64 for float64); v divides by the
            number of values.
Gradient    any order for x, weight and bias; none through the statistics that are returned.
Repeats     bit for bit, from run to run and for any number of threads.
Native      on CPUs, for activations that are linear on each side of 0, in channels_last or with 64 pixels or more. Of
            the layer only x is kept for the gradient.
Source      S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganart_zoo.ops.activation import Activation, activate
from ganart_zoo.ops.bias_act import PIECEWISE_LINEAR
from ganart_zoo.ops.checks import check_above_zero, check_activation, check_channels, check_pictures
from ganart_zoo.ops.dispatch import is_transformed, own_op
from ganart_zoo.ops.dtypes import NATIVE_TYPES, sum_type
from ganart_zoo.ops.layout import like_features, result_format
from ganart_zoo.ops.norm_derivatives import register_norm_derivatives
from ganart_zoo.ops.workloads import shaped

__all__ = ["batch_norm_act"]

_SHORTEST_ROW = 64


def batch_norm_act(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    act: Activation = "linear",
    negative_slope: float = 0.2,
    eps: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise each channel over the batch, scale, shift and activate.

    Args:
        x: `[N, C, H, W]`, floating point.
        weight: `[C]`, or `[N, C]` for one scale per sample and channel; None for 1.
        bias: `[C]` or `[N, C]`; None for 0.
        act: As in `instance_norm_act`, like `negative_slope`; no gain is applied.
        negative_slope: The slope of `lrelu` below 0; 0 or more.
        eps: Added to the variance; above 0.

    Returns:
        The result, like `x`; and the mean and the variance of each channel, `[C]`, from which no gradient comes.

    Raises:
        SettingsError: An argument is out of its range, or shapes or devices do not fit together.
    """
    check_pictures("batch_norm_act", x)
    check_activation("batch_norm_act", act, negative_slope)
    check_above_zero("batch_norm_act", "eps", eps)
    for name, values in (("weight", weight), ("bias", bias)):
        if values is not None:
            check_channels("batch_norm_act", name, values, x, per_sample=True)
    dtype = sum_type(x.dtype)
    weight = None if weight is None else weight.to(dtype)
    bias = None if bias is None else bias.to(dtype)
    # where pixels are adjacent and few, torch's kernel is faster
    long_rows = x.shape[2] * x.shape[3] >= _SHORTEST_ROW or result_format(x) == torch.channels_last
    native = x.device.type == "cpu" and act in PIECEWISE_LINEAR and long_rows
    run = _batch_norm_act if native else batch_norm_act_reference
    y, mean, variance = run(x, weight, bias, act, float(negative_slope), float(eps))
    return y, mean.detach(), variance.detach()


def batch_norm_act_reference(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, act: Activation, negative_slope: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Define `batch_norm_act` in plain PyTorch."""
    z = x.to(sum_type(x.dtype))
    if is_transformed(x, weight, bias):  # under which torch's derivative of its kernel's derivative is wrong
        mean = z.mean([0, 2, 3], keepdim=True)
        variance = (z - mean).square().mean([0, 2, 3], keepdim=True)
        z = (z - mean) * (variance + eps).rsqrt()
        mean, variance = (each.detach().flatten() for each in (mean, variance))
    else:
        z, mean, scale = torch.native_batch_norm(z, None, None, None, None, True, 0.0, eps)
        mean = mean.detach()
        variance = scale.detach().double().pow(-2).sub(eps).clamp(min=0).to(scale.dtype)
    factor, shift = (None if each is None else each.view(*_leading(each), 1, 1) for each in (weight, bias))
    if factor is not None and shift is not None:
        z = torch.addcmul(shift, z, factor)
    elif factor is not None:
        z = z * factor
    elif shift is not None:
        z = z + shift
    return activate(z, act, negative_slope).to(x.dtype), mean, variance


def _leading(values: Tensor) -> tuple[int, int]:
    return (1, len(values)) if values.dim() == 1 else (values.shape[0], values.shape[1])


# What torch needs to know about the native op: shapes without data, and derivatives.

_batch_norm_act = own_op(
    "batch_norm_act",
    batch_norm_act_reference,
    {"cpu": NATIVE_TYPES["cpu"]},
    {
        "small": (shaped(16, 32, 16, 16), shaped(32), shaped(32), "relu", 0.2, 1e-5),
        "standard": (shaped(16, 64, 64, 64), shaped(16, 64), shaped(16, 64), "relu", 0.2, 1e-5),
    },
)


def _like_results(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    mean = x.new_empty(x.shape[1:2], dtype=sum_type(x.dtype))
    return like_features(x), mean, torch.empty_like(mean)


if _batch_norm_act.loaded:
    torch.library.register_fake("ganart::batch_norm_act", _like_results)
    register_norm_derivatives(_batch_norm_act, lambda *inputs: batch_norm_act_reference(*inputs)[0])
