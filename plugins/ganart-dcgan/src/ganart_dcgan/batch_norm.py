"""Batch normalisation over all processes of a training, with a scale and shift that follow from each row's style."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn import functional as collectives
from torch.nn import functional

__all__ = ["StyledBatchNorm"]

_EPSILON = 1e-5
_MOMENTUM = 0.1


class StyledBatchNorm(nn.Module):
    """Normalises each channel over the batch, then scales and shifts it by a linear function of the row's style.

    With several processes the statistics are those of the global batch, so that losses do not depend on how many share
    it (torch's own SyncBatchNorm is for GPUs only). In eval mode they are running means. Ioffe and Szegedy 2015,
    https://arxiv.org/abs/1502.03167; the linear function as in BigGAN, Brock et al. 2019,
    https://arxiv.org/abs/1809.11096, where it learns what a class looks like in fewer steps than a table does.

    Args:
        channels: Of the maps.
        style_size: Numbers a row's style is made of.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, channels: int, style_size: int) -> None:
        super().__init__()
        self.scale = nn.Linear(style_size, channels)
        self.shift = nn.Linear(style_size, channels)
        nn.init.ones_(self.scale.bias)
        nn.init.zeros_(self.shift.bias)
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """Return `[n, C, H, W]`.

        Args:
            features: `[n, C, H, W]`.
            style: `[n, style_size]`.
        """
        if self.training and distributed.is_available() and distributed.is_initialized():
            normalised = self._normalise_globally(features)
        else:
            mean, variance = self.running_mean, self.running_variance
            normalised = functional.batch_norm(
                features, mean, variance, training=self.training, momentum=_MOMENTUM, eps=_EPSILON
            )
        scale, shift = (linear(style)[..., None, None] for linear in (self.scale, self.shift))
        return torch.addcmul(shift.to(normalised.dtype), normalised, scale.to(normalised.dtype))

    def _normalise_globally(self, features: Tensor) -> Tensor:
        wide = features.to(torch.promote_types(features.dtype, torch.float32))
        variance, mean = torch.var_mean(wide, (0, 2, 3), correction=0)
        rows = wide.new_full((1,), float(wide.numel() // wide.shape[1]))
        sums = torch.cat([mean * rows, (variance + mean.square()) * rows, rows])
        sums = collectives.all_reduce(sums)  # type: ignore[no-untyped-call]
        mean, square, rows = sums.split([len(mean), len(mean), 1])
        mean, square = mean / rows, square / rows
        variance = (square - mean.square()).clamp(min=0)
        with torch.no_grad():
            unbiased = variance * rows / (rows - 1).clamp(min=1)
            self.running_mean.lerp_(mean.to(self.running_mean), _MOMENTUM)
            self.running_variance.lerp_(unbiased.to(self.running_variance), _MOMENTUM)
        scale = torch.rsqrt(variance + _EPSILON)
        column = (1, -1, 1, 1)
        return torch.addcmul((-mean * scale).view(column), wide, scale.view(column)).to(features.dtype)
