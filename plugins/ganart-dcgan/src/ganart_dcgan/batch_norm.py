"""Batch normalisation over all processes of a training, with an affine part that may depend on the class."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn import functional as collectives
from torch.nn import functional

__all__ = ["ClassBatchNorm"]


class ClassBatchNorm(nn.BatchNorm2d):
    """Normalises each channel over the batch, then scales and shifts it by numbers learned for each class.

    With several processes the statistics are those of the global batch, so that the losses do not depend on how many
    share it (torch's own SyncBatchNorm is for GPUs only). Of classes: Dumoulin et al. 2017 (conditional instance norm),
    https://arxiv.org/abs/1610.07629; de Vries et al. 2017, https://arxiv.org/abs/1707.00683.

    Args:
        channels: Of the maps.
        classes: 0 for one affine part for all.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, affine=classes == 0)
        self.scale = nn.Parameter(torch.ones(classes, channels)) if classes else None
        self.shift = nn.Parameter(torch.zeros(classes, channels)) if classes else None

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return `[n, C, H, W]` normalised.

        Args:
            features: `[n, C, H, W]`.
            labels: `[n]`, where there are classes.
        """
        if self.training and distributed.is_available() and distributed.is_initialized():
            features = self._normalise_globally(features)
        else:
            features = super().forward(features)
        if self.scale is None or self.shift is None:
            return features
        scale, shift = (functional.embedding(labels, table)[..., None, None] for table in (self.scale, self.shift))
        return torch.addcmul(shift, features, scale)

    def _normalise_globally(self, features: Tensor) -> Tensor:
        dims = (0, 2, 3)
        wide = features.float() if features.dtype == torch.bfloat16 else features
        variance, mean = torch.var_mean(wide, dims, correction=0)
        count = wide.new_full((1,), float(wide.numel() // wide.shape[1]))
        sums = torch.cat([mean * count, (variance + mean.square()) * count, count])
        first, second, count = collectives.all_reduce(sums).split([len(mean), len(mean), 1])
        mean = first / count
        variance = (second / count - mean.square()).clamp(min=0)
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp(min=1)
            for running, present in ((self.running_mean, mean), (self.running_var, unbiased)):
                running.lerp_(present.to(running.dtype), self.momentum)
            self.num_batches_tracked += 1
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
        shift = -mean * scale
        if self.affine:
            shift = shift + self.bias
        column = (1, -1, 1, 1)
        return torch.addcmul(shift.view(column), wide, scale.view(column)).to(features.dtype)
