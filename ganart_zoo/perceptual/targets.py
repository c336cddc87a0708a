"""What the features of one layer should be: content, Gram matrices, or means and standard deviations.

Every loss is relative to its target, so one set of weights suits every backbone, layer and picture size. Gatys, Ecker,
Bethge, "Image style transfer using convolutional neural networks", CVPR 2016, sums where this takes means. For a layer
of C channels and M = H*W positions, equal in picture and style:

    paper's style  E = 1 / (4 C^2 M^2) * sum (G' - A')^2,  G' = F F^T      ops.style_loss = 4 / C^2 * E
    paper's content  = 1 / 2 * sum (F - P)^2                               mean (F - P)^2 = 2 / (C M) * content

Every loss is also a function of sums over positions, so a picture too large for memory can be processed in tiles with
the exact loss and gradient. Collect the sums of all tiles without autograd, then back-propagate tile by tile:

    with torch.no_grad():
        total = functools.reduce(operator.add, (target.sums(features(tile)) for tile in tiles))
    loss, gradient = target.loss_of(total), target.gradient(total)
    for tile in tiles:
        gradient.dot(target.sums(features(tile))).backward()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.perceptual.regions import guided_gram

__all__ = ["ContentTarget", "GramTarget", "StatisticsTarget", "Sums", "Target", "gram_term"]

_TINY = 1e-8
"""Added to variances, so that the standard deviation of a constant channel has a gradient."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Statistics of one layer, summed over positions. Those of tiles add up to those of the whole picture."""

    values: tuple[Tensor, ...]
    """float32, or float64 for float64 features; shapes are the target's own choice."""
    positions: int
    """The number of positions that were summed."""

    def __add__(self, other: Sums) -> Sums:
        """Return the sums over the positions of both."""
        added = tuple(one + another for one, another in zip(self.values, other.values, strict=True))
        return Sums(added, self.positions + other.positions)

    def dot(self, other: Sums) -> Tensor:
        """Return the inner product of the values of both: a scalar."""
        return torch.stack(
            [(one * another).sum() for one, another in zip(self.values, other.values, strict=True)]
        ).sum()


class Target:
    """The base of all targets. A subclass defines `sums` and `loss_of`."""

    def sums(self, features: Tensor) -> Sums:
        """Return the statistics of features `[n, C, h, w]` that the loss depends on. Differentiable."""
        raise NotImplementedError

    def loss_of(self, sums: Sums) -> Tensor:
        """Return the loss of these sums: a scalar, float32 (float64 for float64 features)."""
        raise NotImplementedError

    def loss(self, features: Tensor) -> Tensor:
        """Return the loss of features `[n, C, h, w]`, of any floating type: `loss_of(sums(features))`."""
        return self.loss_of(self.sums(features))

    def gradient(self, sums: Sums) -> Sums:
        """Return the derivative of `loss_of` by each value of `sums`, as if they were values of sums."""
        with torch.enable_grad():
            leaves = tuple(value.detach().requires_grad_() for value in sums.values)
            gradients = torch.autograd.grad(self.loss_of(Sums(leaves, sums.positions)), leaves)
        return Sums(gradients, sums.positions)


class ContentTarget(Target):
    """The features P of a photo at one layer. Its loss is `mean (F - P)^2 / mean P^2`, over all n pictures together.

    Args:
        features: P, `[n, C, h, w]`, of any floating type. For one tile of a picture: those of the tile.
        energy: `mean P^2`. None: of `features`. For a tile: of the whole picture.
    """

    def __init__(self, features: Tensor, energy: Tensor | None = None) -> None:
        self.features = features
        self._scale = _inverse(_float(features).square().mean() if energy is None else energy)

    def sums(self, features: Tensor) -> Sums:
        """Return `sum (F - P)^2` over pictures, channels and positions, for F of P's shape."""
        return Sums((self._squares(features).sum(),), features[:, 0].numel())

    def loss_of(self, sums: Sums) -> Tensor:
        """Return the loss of these sums."""
        (squares,) = sums.values
        return squares / max(1, sums.positions * self.features.shape[1]) * self._scale

    def loss(self, features: Tensor) -> Tensor:
        """Return the loss of F `[n, C, h, w]`, of P's shape: a scalar."""
        return self._squares(features).mean() * self._scale

    def _squares(self, features: Tensor) -> Tensor:
        """Return `(F - P)^2` with the dimensions in the order of memory, so that the gradient has the layout of F."""
        difference = _float(features) - _float(self.features)
        last = difference.is_contiguous(memory_format=torch.channels_last)
        return (difference.movedim(1, -1) if last else difference).square()


class GramTarget(Target):
    """The Gram matrix A that one layer should have. Its loss is `mean (G - A)^2 / mean A^2`, then the mean over rows.

    G is `ops.gram_matrix` of the features. Gatys, Ecker, Bethge 2016.

    Args:
        gram: `[1, C, C]` for one style, or `[n, C, C]` for one style per picture, as `ops.gram_matrix` returns it.
    """

    def __init__(self, gram: Tensor) -> None:
        self.gram = gram
        self.scale = _inverse(gram.square().mean(dim=(1, 2))) if len(gram) > 1 else _inverse(gram.square().mean())

    @classmethod
    def of(cls, features: Tensor, region: Tensor | None = None) -> GramTarget:
        """Return the target that features `[n, C, h, w]` meet, within a region `[1, 1, H, W]` if one is given."""
        return cls(guided_gram(features, region))

    def sums(self, features: Tensor) -> Sums:
        """Return `sum_p F_p F_p^T`, `[n, C, C]`, of F `[n, C, h, w]`."""
        positions = features.shape[2] * features.shape[3]
        return Sums((ops.gram_matrix(features) * (features.shape[1] * positions),), positions)

    def loss_of(self, sums: Sums) -> Tensor:
        """Return the loss of these sums."""
        (products,) = sums.values
        gram = products / max(1, products.shape[1] * sums.positions)
        return ((gram - self.gram).square().mean(dim=(1, 2)) * self.scale).mean()

    def loss(self, features: Tensor) -> Tensor:
        """Return the loss of F `[n, C, h, w]`: a scalar."""
        return gram_term([self], [features], [1.0])


class StatisticsTarget(Target):
    """The mean m and standard deviation s that each channel of one layer should have.

    Its loss is `(mean (mean F - m)^2 + mean (std F - s)^2) / mean (m^2 + s^2)` over channels, then the mean over rows.
    Means and standard deviations are over positions. Li, Wang, Liu, Hou, "Demystifying Neural Style Transfer", 2017,
    https://arxiv.org/abs/1701.01036; Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance
    Normalization", 2017, https://arxiv.org/abs/1703.06868.

    Args:
        mean: `[1, C]`, or `[n, C]` for one style per picture.
        std: Of the same shape.
    """

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        self.mean, self.std = mean, std
        self.scale = _inverse((mean.square() + std.square()).mean(dim=1))

    @classmethod
    def of(cls, features: Tensor) -> StatisticsTarget:
        """Return the target that features `[n, C, h, w]` meet."""
        return cls(*_moments(_feature_sums(features)))

    def sums(self, features: Tensor) -> Sums:
        """Return `sum_p F_p` and `sum_p F_p^2`, each `[n, C]`, of F `[n, C, h, w]`."""
        return _feature_sums(features)

    def loss_of(self, sums: Sums) -> Tensor:
        """Return the loss of these sums."""
        mean, std = _moments(sums)
        squares = (mean - self.mean).square().mean(dim=1) + (std - self.std).square().mean(dim=1)
        return (squares * self.scale).mean()


def gram_term(targets: Sequence[GramTarget], features: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return `sum_l weight_l * target_l.loss(features_l)`, computed at once: a scalar.

    Args:
        targets: One for each layer.
        features: `[n, C, h, w]` of each layer.
        weights: One for each layer.

    Raises:
        SettingsError: There are no layers, or the lengths differ, or features do not fit their target.
    """
    if not len(targets) == len(features) == len(weights) > 0:
        raise SettingsError(
            f"gram_term: {len(targets)} targets, {len(features)} features and {len(weights)} weights; "
            "expected one of each for every layer, and at least one layer"
        )
    if all(target.scale.ndim == 0 for target in targets):
        relative = [weight * float(target.scale) for target, weight in zip(targets, weights, strict=True)]
        return ops.style_losses(features, [target.gram for target in targets], relative)
    losses = [w * t.loss_of(t.sums(f)) for t, f, w in zip(targets, features, weights, strict=True)]
    return torch.stack(losses).sum()


def _feature_sums(features: Tensor) -> Sums:
    values = _float(features)
    return Sums((values.sum(dim=(2, 3)), values.square().sum(dim=(2, 3))), values[0, 0].numel())


def _moments(sums: Sums) -> tuple[Tensor, Tensor]:
    """Return means and standard deviations `[n, C]`."""
    mean, square = (value / max(1, sums.positions) for value in sums.values)
    return mean, ((square - mean.square()).clamp_min(0) + _TINY).sqrt()


def _float(features: Tensor) -> Tensor:
    return features if features.dtype == torch.float64 else features.float()


def _inverse(energy: Tensor) -> Tensor:
    """Return 1 / energy, or 1 where a target is all zero, as for a dead layer, so that its loss stays finite."""
    return torch.where(energy > 0, energy, 1).reciprocal()
