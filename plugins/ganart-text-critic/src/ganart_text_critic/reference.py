"""The reference critic: the features of a classifier compare pictures with a reference picture. Nothing is trained.

The distance at each place between features scaled to length 1: Zhang et al. 2018 (LPIPS without learned weights),
https://arxiv.org/abs/1801.03924.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ganart_text_critic.config import ReferenceConfig
from ganart_text_critic.pictures import to_square
from ganart_zoo.contract import Backbone, Condition, Critic, SettingsError

__all__ = ["Reference"]

_EPSILON = 1e-6


class Reference(Critic):
    """Scores pictures against `Condition(images=...)`: 0 for the reference itself, down to about -1.

    Args:
        config: What is compared.
        backbone: Whose features.
    """

    config: ReferenceConfig

    def __init__(self, config: ReferenceConfig, backbone: Backbone) -> None:
        super().__init__(config)
        self.backbone = backbone
        self.layers = backbone.role_layers("critic", config.layers)

    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        """Return votes `[n, k]`, one for each layer: the mean over places of the cosine of features, less 1.

        Args:
            images: `[n, 3, H, W]` in 0..1, of any size.
            condition: `images` `[1 or n, 3, h, w]` of any size, or the `embedding` that `embed` made of them. Other
                parts are not used.

        Raises:
            SettingsError: There is no reference, or it has neither 1 row nor n.
        """
        references = self._references(condition)
        if len(references) not in (1, len(images)):
            raise SettingsError(f"condition: {len(references)} references for {len(images)} pictures; give 1 or n")
        vectors = self._vectors(images)
        parts = references.split([part.shape[1] for part in vectors], dim=1)
        votes = [(one * other).sum(dim=1) - 1 for one, other in zip(vectors, parts, strict=True)]
        return torch.stack(votes, dim=1)

    def embed(self, condition: Condition) -> Condition:
        """Return `condition` with the features of its reference pictures as its embedding."""
        if condition.embedding is not None or condition.images is None:
            return condition
        return condition._replace(embedding=torch.cat(self._vectors(condition.images), dim=1))

    def _references(self, condition: Condition | None) -> Tensor:
        if condition is None or (condition.images is None and condition.embedding is None):
            raise SettingsError("reference compares pictures with another; give Condition(images=...)")
        if condition.embedding is not None:
            return condition.embedding
        assert condition.images is not None
        return torch.cat(self._vectors(condition.images), dim=1)

    def _vectors(self, images: Tensor) -> list[Tensor]:
        """Return `[n, length]` for each layer; the product of two is a mean cosine."""
        square = to_square(images.to(self.picture_dtype), self.config.resolution)
        maps = self.backbone(square, self.layers)
        return [self._unit(maps[layer].to(self.picture_dtype)) for layer in self.layers]

    def _unit(self, features: Tensor) -> Tensor:
        if self.config.compare == "content":
            return functional.normalize(features.mean(dim=(2, 3)), dim=1, eps=_EPSILON)
        unit = functional.normalize(features, dim=1, eps=_EPSILON)
        places: int = features.shape[2] * features.shape[3]
        return unit.flatten(1) / places**0.5
