"""Batch normalisation whose scale and shift are computed from each row's style."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganart_zoo.training import BatchNorm

__all__ = ["StyledBatchNorm"]


class StyledBatchNorm(BatchNorm):
    """Normalises each channel over the batch, scales and shifts it by a linear function of the row's style; then ReLU.

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
        scale, shift = self.scale(style), self.shift(style)
        if self.uses_own_statistics:
            return self.scaled(features, scale, shift, "relu")
        normalised = super().forward(features)
        scale, shift = (each[..., None, None].to(normalised.dtype) for each in (scale, shift))
        return torch.addcmul(shift, normalised, scale).relu_()
