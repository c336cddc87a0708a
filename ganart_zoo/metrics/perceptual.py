"""How different pictures look to a backbone, and how much that changes along a path between latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganart_zoo.contract.models import Backbone
from ganart_zoo.imaging.images import resize

__all__ = ["PerceptualDistance", "path_length"]

_TINY = 1e-10
"""Keeps features that are all 0 from being divided by 0."""


class PerceptualDistance:
    """The distance of pictures in a backbone's features: LPIPS without its learned weights.

    At each position of each layer the features are scaled to length 1; the squared distance is averaged over positions
    and summed over layers. Zhang et al. 2018, https://arxiv.org/abs/1801.03924. Differentiable.

    Args:
        backbone: What computes the features.
        layers: Which; None for its taps of the role `"critic"`.
        side: Pictures are scaled to this, in pixels.

    Raises:
        SettingsError: A layer is unknown.
    """

    def __init__(self, backbone: Backbone, layers: Sequence[str] | None = None, side: int = 128) -> None:
        self._backbone = backbone
        self.layers = backbone.role_layers("critic", layers)
        self._side = side

    def embed(self, images: Tensor) -> list[Tensor]:
        """Return the scaled features of pictures `[n, 3, H, W]` in 0..1, a tensor `[n, c, h, w]` a layer."""
        features = self._backbone(resize(images.to(self._backbone.device), (self._side, self._side)), self.layers)
        return [_unit(features[name].to(torch.float32)) for name in self.layers]

    def between(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        """Return `[n]` for what `embed` gave of n pairs; one row stands for as many as the other has."""
        parts = [(x - y).square().sum(dim=1).mean(dim=(1, 2)) for x, y in zip(a, b, strict=True)]
        return torch.stack(parts).sum(dim=0)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distances `[n]` of pictures `[n, 3, H, W]` in 0..1."""
        return self.between(self.embed(a), self.embed(b))


def path_length(
    pictures: Callable[[Tensor], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    n: int,
    *,
    rng: torch.Generator | None = None,
    epsilon: float = 1e-4,
) -> Tensor:
    """Return, for n paths, `distance / epsilon²` of the pictures at a random place and `epsilon` further on.

    A small mean says that latents change pictures smoothly. Karras et al. 2019, https://arxiv.org/abs/1812.04948; they
    leave out the lowest and highest hundredth.

    Args:
        pictures: Gives `[n, 3, H, W]` at the fractions `[n]` in 0..1 of the n paths.
        distance: Of pictures, squared: such as `PerceptualDistance`.
        n: Paths.
        rng: Of the places.
        epsilon: The step.
    """
    place = torch.rand(n, generator=rng, dtype=torch.float64)
    place = place * (1 - epsilon)
    return distance(pictures(place), pictures(place + epsilon)) / epsilon**2


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True) + _TINY).sqrt()
