"""Bias, activation, gain and clamp in one pass.

Formula     z = x + bias[c]; y = act(z) * gain; with `clamp`, values beyond ±clamp become ±clamp.
Shapes      x [N, C, ...], bias [C]; y like x.
Layouts     contiguous and channels_last are read where they are, anything else is copied once; y keeps x's layout.
Types       float32, bfloat16, float64. The arithmetic is float32 (float64 for float64), rounded once.
Gradient    any order for x and bias; zero where the clamp holds. relu, lrelu, tanh and sigmoid keep y for it, elu,
            selu, softplus and swish keep x, linear keeps neither.
Cost        forward one read and one write; backward two reads and one write, the bias's sum included.
Repeats     bit for bit, from run to run and for any number of threads.
Source      T. Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020, for the
            default gains.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.activation import Activation, activate, check_activation, check_channels, default_gain
from ganart_zoo.ops.dispatch import NativeOp

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
        bias: `[C]`, or None for none.
        act: `linear`, `relu`, `lrelu`, `tanh`, `sigmoid`, `elu`, `selu`, `softplus` or `swish`.
        negative_slope: of `lrelu`, 0 or more.
        gain: what the activation is multiplied by, above 0; None means sqrt(2) for relu, lrelu and swish, else 1.
        clamp: the largest magnitude let through, above 0; None means no limit.

    Returns:
        Like `x`.

    Raises:
        SettingsError: An argument is out of its range, or shapes or devices do not fit together.
    """
    check_activation("bias_act", act, negative_slope)
    if x.dim() < 2 or not x.is_floating_point():
        raise SettingsError(f"bias_act: x is {x.dtype} of shape {list(x.shape)}; expected floating point [N, C, ...]")
    if bias is not None:
        check_channels("bias_act", "bias", bias, x)
    gain = default_gain(act) if gain is None else gain
    for name, value in (("gain", gain), ("clamp", clamp)):
        if value is not None and not value > 0:
            raise SettingsError(f"bias_act: {name} is {value}; expected a number above 0")
    y: Tensor = _bias_act(x, bias, act, float(negative_slope), float(gain), clamp)
    return y


def bias_act_reference(
    x: Tensor, bias: Tensor | None, act: Activation, negative_slope: float, gain: float, clamp: float | None
) -> Tensor:
    """Define `bias_act` in plain PyTorch."""
    z = x if bias is None else x + bias.to(x.dtype).reshape([-1] + [1] * (x.dim() - 2))
    y = activate(z, act, negative_slope)
    if gain != 1:
        y = y * gain
    if clamp is not None:
        y = torch.where(y.abs() < clamp, y, y.detach().clamp(-clamp, clamp))
    return y


_bias_act = NativeOp("ganart::bias_act", reference=bias_act_reference, library=None, missing="not written yet")
