"""Penalties on pictures themselves: roughness, and values outside the range of colours."""

from __future__ import annotations

from torch import Tensor

__all__ = ["range_penalty", "total_variation"]


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
