"""Instance normalisation, a scale and a shift a channel (each sample its own, where asked), and an activation.

Formula     m, v = mean and variance of x over its pixels; y = act((x - m) / sqrt(v + eps) * weight + bias).
Shapes      x [N, C, H, W]; weight and bias [C], or [N, C] for conditional and adaptive norms; y like x.
Layouts     contiguous and channels_last are read where they are, anything else is copied once; y keeps x's layout.
Types       float32, bfloat16, float64. Statistics, weight and bias are float32 (float64 for float64); v divides by H*W.
Gradient    any order for x, weight and bias.
Repeats     bit for bit, from run to run and for any number of threads.
Source      D. Ulyanov et al., "Instance normalization", 2016; V. Dumoulin et al., "A learned representation for
            artistic style", ICLR 2017 (a scale and a shift for each style).
"""

from __future__ import annotations

from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.activation import (
    Activation,
    activate,
    check_activation,
    check_channels,
    check_features,
    sum_type,
)
from ganart_zoo.ops.dispatch import NativeOp

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
        weight: `[C]`, or `[N, C]` for a scale of each sample's own; None for 1.
        bias: `[C]` or `[N, C]`; None for 0.
        act: `linear`, `relu`, `lrelu`, `tanh`, `sigmoid`, `elu`, `selu`, `softplus` or `swish`; no gain is applied.
        negative_slope: of `lrelu`, 0 or more.
        eps: what is added to the variance, above 0.

    Returns:
        Like `x`.

    Raises:
        SettingsError: An argument is out of its range, or shapes or devices do not fit together.
    """
    check_features("instance_norm_act", x)
    check_activation("instance_norm_act", act, negative_slope)
    for name, values in (("weight", weight), ("bias", bias)):
        if values is not None:
            check_channels("instance_norm_act", name, values, x, per_sample=True)
    return normalize("instance_norm_act", x, weight, bias, act, negative_slope, eps)


def normalize(
    op: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, act: Activation, negative_slope: float, eps: float
) -> Tensor:
    """Run the op for its public functions, `op` being the one called, whose arguments have been checked."""
    if not eps > 0:
        raise SettingsError(f"{op}: eps is {eps}; expected a number above 0")
    dtype = sum_type(x.dtype)
    weight = None if weight is None else weight.to(dtype)
    bias = None if bias is None else bias.to(dtype)
    y: Tensor = _instance_norm_act(x, weight, bias, act, float(negative_slope), float(eps))
    return y


def instance_norm_act_reference(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, act: Activation, negative_slope: float, eps: float
) -> Tensor:
    """Define `instance_norm_act` in plain PyTorch."""
    z = x.to(sum_type(x.dtype))
    centred = z - z.mean([2, 3], keepdim=True)
    z = centred * (centred.square().mean([2, 3], keepdim=True) + eps).rsqrt()
    if weight is not None:
        z = z * weight[..., None, None]
    if bias is not None:
        z = z + bias[..., None, None]
    return activate(z, act, negative_slope).to(x.dtype)


_instance_norm_act = NativeOp(
    "ganart::instance_norm_act", reference=instance_norm_act_reference, library=None, missing="not written yet"
)
