"""A convolution layer: filter, convolution, bias, activation, gain and clamp.

Formula     y = clamp(act(conv(x, weight) + bias) * gain); the convolution is a correlation, as in torch. With `taps`,
            x is low-pass filtered first, as in StyleGAN2's downsampling layers.
Shapes      x [N, I, H, W], weight [O, I, KH, KW], bias [O], taps [K] or [KH, KW]; y [N, O, OH, OW].
Layouts     y has the layout of the convolution's result: channels_last if x or the weight is, and on CPUs also if the
            stride is above 1 and x is no smaller than the weight.
Types       float32, bfloat16, float64; x and weight of one type, except under autocast, which converts both.
Gradient    any order for x, weight and bias.
Repeats     bit for bit from run to run; the vendor library's weight gradient may depend on the number of threads.
Native      the vendor library's convolution followed by one `bias_act` pass, or, where that is faster, Winograd's
            algorithm with both in one pass (`ops/conv3x3.py` and `ops/conv4x4.py` state its accuracy). The input of
            the activation is not kept.
Source      T. Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020.
"""

from __future__ import annotations

from torch import Tensor

from ganart_zoo.ops.activation import Activation, default_gain
from ganart_zoo.ops.bias_act import PIECEWISE_LINEAR, bias_act
from ganart_zoo.ops.checks import check_activation, check_pictures
from ganart_zoo.ops.conv3x3 import conv3x3_bias_act
from ganart_zoo.ops.conv4x4 import conv4x4_bias_act
from ganart_zoo.ops.resampled_conv2d import (
    check_convolution,
    in_layout_for_strides,
    is_conv3x3,
    is_conv4x4,
    resampled_conv2d,
)
from ganart_zoo.ops.upfirdn2d import Padding, padding_sides

__all__ = ["conv2d_bias_act"]


def conv2d_bias_act(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    taps: Tensor | None = None,
    padding: Padding = 0,
    act: Activation = "linear",
    negative_slope: float = 0.2,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Convolve, add a bias and apply an activation: a layer of a critic.

    Args:
        x: `[N, I, H, W]`, floating point.
        weight: `[O, I, KH, KW]`, of x's dtype.
        bias: `[O]`, or None for no bias.
        stride: The stride of the convolution, 1 or more.
        taps: A low-pass filter `[K]` or `[KH, KW]` to apply first, centred so that only `padding` changes the size;
            None for no filter.
        padding: Zeros around x: an int, `(x, y)` or `(x0, x1, y0, y1)`.
        act: As in `bias_act`, like `negative_slope`, `gain` and `clamp`.

    Returns:
        `[N, O, OH, OW]`.

    Raises:
        SettingsError: An argument is out of its range, or shapes, dtypes or devices do not fit together.
    """
    check_pictures("conv2d_bias_act", x)
    check_convolution("conv2d_bias_act", x, weight, bias, taps, padding, stride=stride)
    check_activation("conv2d_bias_act", act, negative_slope, gain, clamp)
    if taps is None and act in PIECEWISE_LINEAR:
        sides = padding_sides("conv2d", padding)
        layer = (act, float(negative_slope), float(default_gain(act) if gain is None else gain), clamp)
        if is_conv3x3(x, weight, sides, stride):
            return conv3x3_bias_act(x, weight, bias, *layer)
        if stride > 1:
            x = in_layout_for_strides(x, weight)
            if is_conv4x4(x, weight, sides, stride):
                return conv4x4_bias_act(x, weight, bias, *layer)
    z = resampled_conv2d(x, weight, down=stride, taps=taps, padding=padding)
    if bias is None and act == "linear" and gain is None and clamp is None:
        return z
    return bias_act(z, bias, act=act, negative_slope=negative_slope, gain=gain, clamp=clamp)
