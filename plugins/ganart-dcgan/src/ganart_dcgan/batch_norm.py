"""Batch normalisation whose scale and shift are computed from each row's style."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganart_zoo.training import BatchNorm

__all__ = ["StyledBatchNorm"]


class StyledBatchNorm(BatchNorm):
    """Normalises each channel over the batch, then scales and shifts it by a linear function of the row's style.

    The linear function is that of BigGAN, Brock et al. 2019, https://arxiv.org/abs/1809.11096, which learns classes in
    fewer steps than a table of scales and shifts.

    Args:
        channels: The number of channels of the maps.
        style_size: The length of a row's style vector.
    """

    def __init__(self, channels: int, style_size: int) -> None:
        super().__init__(channels, affine=False)
        self.scale = nn.Linear(style_size, channels)
        self.shift = nn.Linear(style_size, channels)
        nn.init.ones_(self.scale.bias)
        nn.init.zeros_(self.shift.bias)

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """Return `[n, C, H, W]`.

        Args:
            features: `[n, C, H, W]`.
            style: `[n, style_size]`.
        """
        normalised = super().forward(features)
        scale, shift = (linear(style)[..., None, None] for linear in (self.scale, self.shift))
        return torch.addcmul(shift.to(normalised.dtype), normalised, scale.to(normalised.dtype))
