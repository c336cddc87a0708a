"""Penalties on pictures themselves: roughness, values outside the range of colours, and change from another picture."""

from __future__ import annotations

from torch import Tensor

__all__ = ["change_penalty", "range_penalty", "total_variation"]


def total_variation(picture: Tensor) -> Tensor:
    """Return the mean squared difference of vertical neighbours plus that of horizontal ones, for `[n, c, H, W]`.

    This is a scalar. It is the squared form (beta = 2) of Mahendran and Vedaldi, "Understanding deep image
    representations by inverting them", 2015, https://arxiv.org/abs/1412.0035.
    """
    down = picture[:, :, 1:] - picture[:, :, :-1]
    across = picture[..., 1:] - picture[..., :-1]
    return down.square().mean() + across.square().mean()


def range_penalty(picture: Tensor) -> Tensor:
    """Return the mean squared distance of the values from 0..1: a scalar."""
    return (picture - picture.clamp(0, 1)).square().mean()


def change_penalty(picture: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of `mask * (picture - other)^2`: a scalar.

    It is the temporal loss of Ruder, Dosovitskiy, Brox, "Artistic style transfer for videos", GCPR 2016, equation 7.

    Args:
        picture: `[n, c, H, W]`.
        other: The same shape.
        mask: `[n, 1, H, W]`.
    """
    return (mask * (picture - other).square()).mean()
