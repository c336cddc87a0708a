"""Adaptive instance normalisation: features take on the channel statistics of other features.

Formula     y = (x - m(x)) / sqrt(v(x) + eps) * std + mean, m and v over the pixels of a channel.
Shapes      x [N, C, H, W]; mean and std [N, C] (or [C] for one style for all samples); y like x.
Native      `instance_norm_act` with std as its weight and mean as its bias; its contract holds here too.
Source      X. Huang, S. Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", ICCV
            2017.
"""

from __future__ import annotations

from torch import Tensor

from ganart_zoo.ops.checks import check_channels, check_pictures
from ganart_zoo.ops.instance_norm_act import normalize

__all__ = ["adain"]


def adain(x: Tensor, mean: Tensor, std: Tensor, eps: float = 1e-5) -> Tensor:
    """Give each channel of x another mean and standard deviation.

    Args:
        x: The features of the content, `[N, C, H, W]`, floating point.
        mean: The means of the style, `[N, C]` or `[C]`.
        std: The standard deviations of the style, `[N, C]` or `[C]`.
        eps: Added to the variance of x; above 0.

    Returns:
        Like `x`.

    Raises:
        SettingsError: `eps` is out of its range, or shapes or devices do not fit together.
    """
    check_pictures("adain", x)
    check_channels("adain", "mean", mean, x, per_sample=True)
    check_channels("adain", "std", std, x, per_sample=True)
    return normalize("adain", x, std, mean, "linear", 0.0, eps)
