"""StyleGAN2's modulated convolution, without a separate weight for each sample.

Formula     y = act((sum_i,k weight[o,i,k] * styles[n,i] * x[n,i]) * d[n,o] + noise + bias[o]) * gain, clamped, with
            d[n,o] = 1 / sqrt(sum_i,k (weight[o,i,k] * styles[n,i])^2 + 1e-8), or 1 without `demodulate`.
Shapes      x [N, I, H, W], weight [O, I, KH, KW], styles [N, I], noise [N or 1, 1, OH, OW], bias [O]; y [N, O, OH, OW].
Types       float32, bfloat16, float64; x and weight of one type, except under autocast, which converts both. d is
            float32 (float64 for float64).
Gradient    any order for x, weight, styles, noise and bias.
Repeats     bit for bit from run to run; the vendor library's weight gradient may depend on the number of threads.
Native      one pass scales x by the styles, the vendor library convolves it with the shared weight, and one pass
            (`scaled_bias_act`) does the rest; d takes one product [N, I] x [I, O]. No memory of size N*O*I*KH*KW is
            needed. A 1x1 convolution to the few channels of a picture is one product with a weight a sample, and its
            result is contiguous.
Source      T. Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020. Weights are correlated
            at every resolution; NVIDIA's published upsampling layers convolve, so flip theirs when loading.
"""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor

from ganart_zoo.ops.activation import Activation, default_gain
from ganart_zoo.ops.bias_act import bias_act, bias_act_reference
from ganart_zoo.ops.checks import check_activation, check_device, check_pictures, check_shape
from ganart_zoo.ops.dtypes import sum_type
from ganart_zoo.ops.picture_conv2d import PICTURE_CHANNELS, conv2d_to_picture
from ganart_zoo.ops.resampled_conv2d import check_convolution, padded_conv2d, resampled_conv2d
from ganart_zoo.ops.scaled_bias_act import scaled_bias_act
from ganart_zoo.ops.upfirdn2d import Padding, padding_sides, resampling_padding, upfirdn2d

__all__ = ["modulated_conv2d"]

EPSILON = 1e-8


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    up: int = 1,
    down: int = 1,
    taps: Tensor | None = None,
    padding: Padding = 0,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    act: Activation = "linear",
    negative_slope: float = 0.2,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Convolve each sample with the weight scaled by its own style, resample, add noise and bias, and activate.

    Args:
        x: `[N, I, H, W]`, floating point.
        weight: `[O, I, KH, KW]`, of x's dtype.
        styles: `[N, I]`, the factors of each sample's input channels.
        demodulate: Whether to scale each output channel back to unit variance.
        up: Upsampling factor; needs `taps`.
        down: Downsampling factor; with `taps` the result is filtered first.
        taps: Low-pass filter `[K]` or `[KH, KW]` for resampling; None for no filter.
        padding: Zeros around the (upsampled) input: an int, `(x, y)` or `(x0, x1, y0, y1)`.
        noise: `[N, 1, OH, OW]` or `[1, 1, OH, OW]`, added to all channels before the bias; None for no noise.
        bias: `[O]`, or None for no bias.
        act: As in `bias_act`, like `negative_slope`, `gain` and `clamp`.

    Returns:
        `[N, O, OH, OW]`.

    Raises:
        SettingsError: An argument is out of its range, or shapes, dtypes or devices do not fit together.
    """
    check_pictures("modulated_conv2d", x)
    check_convolution("modulated_conv2d", x, weight, bias, taps, padding, up=up, down=down)
    check_activation("modulated_conv2d", act, negative_slope, gain, clamp)
    check_shape("modulated_conv2d", "styles", styles, [x.shape[:2]], x)
    check_device("modulated_conv2d", "styles", styles, x)
    if not demodulate and taps is None and down == 1 and _is_to_picture(weight, padding):
        # the weights of all samples are smaller than the scaled x would be
        y = conv2d_to_picture(x, (weight.flatten(1) * styles[:, None]).to(x.dtype))
    else:
        y = scaled_bias_act("modulated_conv2d", x, styles)
        y = resampled_conv2d(y, weight, up=up, down=down, taps=taps, padding=padding)
    settings: _Settings = {"act": act, "negative_slope": negative_slope, "gain": gain, "clamp": clamp}
    if demodulate or noise is not None:
        scale = demodulation(weight, styles) if demodulate else None
        return scaled_bias_act("modulated_conv2d", y, scale, noise, bias, **settings)
    if bias is None and act == "linear" and gain is None and clamp is None:
        return y
    return bias_act(y, bias, **settings)


def _is_to_picture(weight: Tensor, padding: Padding) -> bool:
    out_channels, _, *sides = weight.shape
    return out_channels <= PICTURE_CHANNELS and sides == [1, 1] and not any(padding_sides("modulated_conv2d", padding))


class _Settings(TypedDict):
    act: Activation
    negative_slope: float
    gain: float | None
    clamp: float | None


def modulated_conv2d_reference(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    up: int = 1,
    down: int = 1,
    taps: Tensor | None = None,
    padding: Padding = 0,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    act: Activation = "linear",
    negative_slope: float = 0.2,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Define `modulated_conv2d` in plain PyTorch: a weight per sample, convolved as groups, then each step alone."""
    weights = weight[None] * styles.to(weight.dtype)[:, None, :, None, None]
    if demodulate:
        weights = weights * (weights.square().sum([2, 3, 4], keepdim=True) + EPSILON).rsqrt()
    samples = len(x)
    sides = padding_sides("modulated_conv2d", padding)
    if taps is not None:
        sides = resampling_padding("modulated_conv2d", taps, sides, up=up, down=down)
    if taps is not None and up > 1:
        x, sides = upfirdn2d(x, taps, up=up, padding=sides, gain=up**2), (0, 0, 0, 0)
    stride = down if taps is None else 1
    y = padded_conv2d(x.flatten(0, 1)[None], weights.flatten(0, 1), sides, stride=stride, groups=samples)
    y = y.reshape(samples, -1, *y.shape[2:])
    if taps is not None and (up == 1 or down > 1):
        y = upfirdn2d(y, taps, down=down)
    y = y if noise is None else y + noise.to(y.dtype)
    return bias_act_reference(y, bias, act, negative_slope, default_gain(act) if gain is None else gain, clamp)


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """Return d `[N, O]`: the inverse norm of each sample's weights, without computing those weights."""
    dtype = sum_type(weight.dtype)
    power = weight.to(dtype).square().sum([2, 3])
    with torch.autocast(weight.device.type, enabled=False):  # which would round the product's factors
        return torch.rsqrt(styles.to(dtype).square() @ power.t() + EPSILON)
