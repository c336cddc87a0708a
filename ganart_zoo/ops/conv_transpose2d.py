"""A transposed convolution: a layer that enlarges, and the gradient of a convolution for its input.

Formula     y[n, c] = sum over k of the pixels of x[n, k], spread `stride` apart, convolved with weight[k, c], less
            `padding` pixels at each edge: `torch.nn.functional.conv_transpose2d`.
Shapes      x [N, K, H, W], weight [K, C, KH, KW]; y [N, C, (H - 1) * stride + KH - 2 * padding, likewise].
Layouts     those of torch; y is channels_last if x is.
Types       float32, bfloat16, float64; x and weight of one type, except under autocast, which converts both.
Gradient    any order for x and weight.
Repeats     bit for bit from run to run; the vendor library's weight gradient may depend on the number of threads.
Native      the vendor library or, for 4x4 weights with stride 2 and padding 1 in float32 where that is faster,
            Winograd's algorithm (`ops/conv4x4.py` states its accuracy).
Source      A. Radford et al., "Unsupervised representation learning with deep convolutional GANs", ICLR 2016.
"""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.checks import check_factor, check_pictures
from ganart_zoo.ops.conv4x4 import conv4x4_transposed, conv4x4_transposed_pays
from ganart_zoo.ops.resampled_conv2d import check_same_type

__all__ = ["conv_transpose2d"]


def conv_transpose2d(x: Tensor, weight: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Return the transposed convolution of `x`.

    Args:
        x: `[N, K, H, W]`, floating point.
        weight: `[K, C, KH, KW]`, of x's dtype.
        stride: How far apart the pixels of x are in the result, 1 or more.
        padding: Pixels to leave out at each edge of the result, 0 or more.

    Returns:
        `[N, C, (H - 1) * stride + KH - 2 * padding, (W - 1) * stride + KW - 2 * padding]`.

    Raises:
        SettingsError: An argument is out of its range, or shapes, dtypes or devices do not fit together.
    """
    check_pictures("conv_transpose2d", x)
    if weight.dim() != 4 or weight.shape[0] != x.shape[1]:
        raise SettingsError(
            f"conv_transpose2d: weight has shape {list(weight.shape)}; expected [{x.shape[1]}, C, KH, KW] for x "
            f"{list(x.shape)}"
        )
    check_same_type("conv_transpose2d", x, weight)
    check_factor("conv_transpose2d", "stride", stride)
    if not isinstance(padding, int) or padding < 0:
        raise SettingsError(f"conv_transpose2d: padding is {padding!r}; expected an int of 0 or more")
    if stride == 2 and padding == 1 and conv4x4_transposed_pays(x, weight):
        return conv4x4_transposed(x, weight)
    return F.conv_transpose2d(x, weight, stride=stride, padding=padding)
