"""Perceptual distance of pictures, in the features of a backbone, and perceptual path length between latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganart_zoo.contract.models import Backbone
from ganart_zoo.imaging.images import resize

__all__ = ["PerceptualDistance", "path_length"]

_TINY = 1e-10
"""Avoids a division by zero for features that are all 0."""


class PerceptualDistance:
    """The distance of pictures in a backbone's features: LPIPS without its learned weights.

    At each position of each layer the features are scaled to length 1; the squared distance is averaged over positions
    and summed over layers. Zhang et al. 2018, https://arxiv.org/abs/1801.03924. Differentiable.

    Args:
        backbone: The network that computes the features.
        layers: The layers to compare; None means the backbone's taps for the role `"critic"`.
        side: The side in pixels to which pictures are scaled.

    Raises:
        SettingsError: A layer is unknown.
    """

    def __init__(self, backbone: Backbone, layers: Sequence[str] | None = None, side: int = 128) -> None:
        self._backbone = backbone
        self.layers = backbone.role_layers("critic", layers)
        self._side = side

    def embed(self, images: Tensor) -> list[Tensor]:
        """Return the scaled features of pictures `[n, 3, H, W]` in 0..1, one tensor `[n, c, h, w]` per layer."""
        features = self._backbone(resize(images.to(self._backbone.device), (self._side, self._side)), self.layers)
        return [_unit(features[name].to(torch.float32)) for name in self.layers]

    def between(self, a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
        """Return the distances `[n]` of n pairs of embeddings. A single row is compared with all rows of the other."""
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
    """Return, for each of n paths, `distance / epsilon²` of the pictures at a random position and `epsilon` further on.

    A small mean says that latents change pictures smoothly. Karras et al. 2019, https://arxiv.org/abs/1812.04948, who
    also discard the lowest and the highest percent of the values.

    Args:
        pictures: Returns `[n, 3, H, W]`, the picture of each path at the fraction of it given by `[n]` in 0..1.
        distance: A squared distance of pictures, such as `PerceptualDistance`.
        n: The number of paths.
        rng: The generator that draws the positions.
        epsilon: The length of the step, as a fraction of the path.
    """
    place = torch.rand(n, generator=rng, dtype=torch.float64)
    place = place * (1 - epsilon)
    return distance(pictures(place), pictures(place + epsilon)) / epsilon**2


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True) + _TINY).sqrt()
