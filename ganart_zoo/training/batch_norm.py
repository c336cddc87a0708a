"""Batch normalisation over all processes of a training, and recalibration of its statistics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_zoo import ops
from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.draws import row_generators
from ganart_zoo.contract.models import Generator
from ganart_zoo.training.processes import are_several, sum_over_processes

__all__ = ["BatchNorm", "recalibrate"]

_EPSILON = 1e-5
_MOMENTUM = 0.1


class BatchNorm(nn.Module):
    """Normalises each channel over the batch in train mode, and with running statistics in eval mode.

    With several processes the statistics are those of the global batch, so that losses do not depend on how many share
    it (torch's own SyncBatchNorm is for GPUs only). Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167.

    Args:
        channels: Channels of the feature maps.
        affine: Whether to scale and shift each channel by learned numbers.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, channels: int, *, affine: bool = True) -> None:
        super().__init__()
        self.num_features = channels  # torch's name for it
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_variance", torch.ones(channels))
        self.momentum = _MOMENTUM
        self.shared = True
        """Whether processes share their statistics. Otherwise each process uses those of its own rows."""

    def forward(self, features: Tensor) -> Tensor:
        """Return `[n, C, H, W]` for `[n, C, H, W]`, in their type."""
        if self.training and self.shared and are_several():
            return self._normalise_globally(features)
        return functional.batch_norm(
            features,
            self.running_mean,
            self.running_variance,
            self.weight,
            self.bias,
            training=self.training,
            momentum=self.momentum,
            eps=_EPSILON,
        )

    @property
    def uses_own_statistics(self) -> bool:
        """Whether features are normalised by the statistics of this process's batch: in train mode, if it is alone."""
        return self.training and not (self.shared and are_several())

    def scaled(self, features: Tensor, scale: Tensor, shift: Tensor, act: ops.Activation = "linear") -> Tensor:
        """Return `act(normalised * scale + shift)` in one op, where the norm `uses_own_statistics`.

        Args:
            features: `[n, C, H, W]`.
            scale: `[C]`, or `[n, C]` for one of each row.
            shift: Likewise.
            act: An activation of `ops.batch_norm_act`.
        """
        scaled, mean, variance = ops.batch_norm_act(features, scale, shift, act=act, eps=_EPSILON)
        count = features.numel() // features.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            unbiased = variance * (count / max(1, count - 1))
            self.running_variance.lerp_(unbiased.to(self.running_variance), self.momentum)
        return scaled

    def _normalise_globally(self, features: Tensor) -> Tensor:
        wide = features.to(torch.promote_types(features.dtype, torch.float32))
        # joined in float64: as sums of squares, statistics of channels far from 0 would lose their digits
        variance, mean = (each.double() for each in torch.var_mean(wide, (0, 2, 3), correction=0))
        count = mean.new_full((1,), wide.numel() // wide.shape[1])
        sums = torch.cat([mean * count, (variance + mean.square()) * count, count])
        sums = sum_over_processes(sums)
        count = sums[-1]
        mean, square = (sums[:-1] / count).view(2, -1).unbind()
        variance = (square - mean.square()).clamp(min=0)
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp(min=1)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_variance.lerp_(unbiased.to(self.running_variance), self.momentum)
        scale = torch.rsqrt(variance + _EPSILON)
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        scale, shift = (each.to(wide.dtype).view(1, -1, 1, 1) for each in (scale, shift))
        return torch.addcmul(shift, wide, scale).to(features.dtype)


def recalibrate(
    generator: Generator, batches: int, seed: int, condition: Condition | None = None, *, rows: int = 64
) -> bool:
    """Replace the statistics of batch norm by the means over batches of the generator's own pictures.

    Averaged weights produce features that none of the averaged networks had, so averaged statistics do not quite fit
    them. All other layers stay in eval mode. Only this process computes, even if there are several.

    Args:
        generator: In eval mode; changed in place.
        batches: Number of batches.
        seed: Seed of the latents.
        condition: The condition of each batch, of 1 or `rows` rows.
        rows: Pictures in a batch.

    Returns:
        True if the generator has any batch norm (`BatchNorm`, or torch's own); otherwise nothing was done.
    """
    norms = _own_norms(generator)
    for norm in norms:
        norm.train()
    before = [(norm.momentum, getattr(norm, "shared", False)) for norm in norms]
    try:
        for batch in range(batches if norms else 0):
            for norm in norms:
                norm.momentum, norm.shared = 1 / (batch + 1), False  # running means that become plain ones
            rng = row_generators(range(rows), seed, "recalibrate", batch)
            with torch.no_grad():
                generator(generator.sample_latents(rows, rng=rng).to(generator.device), condition, rng=rng)
    finally:
        for norm, (momentum, shared) in zip(norms, before, strict=True):
            norm.momentum, norm.shared = momentum, shared
            norm.eval()
    return bool(norms)


def _own_norms(generator: Generator) -> list[Any]:
    """Return the batch norms of a generator, less those of models it is built on."""
    borrowed = {id(module) for model in generator.borrowed().values() for module in model.modules()}
    kinds = (BatchNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return [module for module in generator.modules() if isinstance(module, kinds) and id(module) not in borrowed]
