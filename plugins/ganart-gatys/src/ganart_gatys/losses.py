"""The terms of the loss. Each is relative to its target, so one set of weights suits every backbone, layer and size.

The paper (Gatys, Ecker, Bethge, "Image style transfer using convolutional neural networks", CVPR 2016) sums where this
takes means. For a layer of C channels and M = H*W positions, equal in picture and style:

    paper's style  E = 1 / (4 C^2 M^2) * sum (G' - A')^2,  G' = F F^T      ops.style_loss = 4 / C^2 * E
    paper's content  = 1 / 2 * sum (F - P)^2                               mean (F - P)^2 = 2 / (C M) * content
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganart_zoo import ops

__all__ = ["ContentTarget", "StyleTarget", "range_penalty", "style_term", "total_variation"]


class ContentTarget:
    """The features P of the photo at one layer.

    Args:
        features: `[n, C, h, w]`, of any floating dtype.
    """

    def __init__(self, features: Tensor) -> None:
        self.features = features
        self._scale = _inverse(_float(features).square().mean())

    def loss(self, features: Tensor) -> Tensor:
        """Return `mean (F - P)^2 / mean P^2` for features F of P's shape: a scalar, float32 (float64 for float64)."""
        return (_float(features) - _float(self.features)).square().mean() * self._scale


class StyleTarget:
    """The Gram matrix A that one layer of the picture shall have.

    Args:
        gram: `[1, C, C]`, as `ops.gram_matrix` gives it.
    """

    def __init__(self, gram: Tensor) -> None:
        self.gram = gram
        self.scale = float(_inverse(gram.square().mean()))


def style_term(targets: Sequence[StyleTarget], features: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return the sum over layers of `weight * mean (G - A)^2 / mean A^2`, G = F F^T / (C*h*w): a scalar.

    Args:
        targets: Of each layer.
        features: `[n, C, h, w]` of each.
        weights: Of each.
    """
    relative = [weight * target.scale for target, weight in zip(targets, weights, strict=True)]
    return ops.style_losses(features, [target.gram for target in targets], relative)


def total_variation(picture: Tensor) -> Tensor:
    """Return the mean squared difference of neighbours, down plus across, of `[n, c, H, W]`: a scalar.

    The squared form, beta = 2, of Mahendran and Vedaldi, "Understanding deep image representations by inverting
    them", 2015.
    """
    down = picture[:, :, 1:] - picture[:, :, :-1]
    across = picture[..., 1:] - picture[..., :-1]
    return down.square().mean() + across.square().mean()


def range_penalty(picture: Tensor) -> Tensor:
    """Return the mean squared distance of the values from 0..1: a scalar."""
    return (picture - picture.clamp(0, 1)).square().mean()


def _float(features: Tensor) -> Tensor:
    return features if features.dtype == torch.float64 else features.float()


def _inverse(energy: Tensor) -> Tensor:
    """1 / energy; 1 where a target is all zero, as a dead layer's is, so that its loss stays finite."""
    return torch.where(energy > 0, energy, 1).reciprocal()
