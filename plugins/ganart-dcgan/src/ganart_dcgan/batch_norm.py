"""Batch normalisation over all processes of a training, with a scale and shift that may depend on the class."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn import functional as collectives
from torch.nn import functional

__all__ = ["ClassBatchNorm"]

_EPSILON = 1e-5
_MOMENTUM = 0.1


class ClassBatchNorm(nn.Module):
    """Normalises each channel over the batch, then scales and shifts it by numbers learned for each class.

    With several processes the statistics are those of the global batch, so that losses do not depend on how many share
    it (torch's own SyncBatchNorm is for GPUs only). In eval mode they are running means. Ioffe and Szegedy 2015,
    https://arxiv.org/abs/1502.03167; for each class as de Vries et al. 2017, https://arxiv.org/abs/1707.00683.

    Args:
        channels: Of the maps.
        classes: 0 for one scale and shift for all.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(max(1, classes), channels))
        self.shift = nn.Parameter(torch.zeros(max(1, classes), channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return `[n, C, H, W]` normalised.

        Args:
            features: `[n, C, H, W]`.
            labels: `[n]`; None without classes.
        """
        if self.training and distributed.is_available() and distributed.is_initialized():
            normalised = self._normalise_globally(features)
        else:
            scale, shift = (self.scale[0], self.shift[0]) if labels is None else (None, None)
            normalised = functional.batch_norm(
                features,
                self.running_mean,
                self.running_variance,
                scale,
                shift,
                self.training,
                _MOMENTUM,
                _EPSILON,
            )
            if labels is None:
                return normalised
        rows = torch.zeros(1, dtype=torch.long, device=features.device) if labels is None else labels
        scales, shifts = (functional.embedding(rows, table)[..., None, None] for table in (self.scale, self.shift))
        return torch.addcmul(shifts, normalised, scales)

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
