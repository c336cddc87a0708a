"""The loss of the recipes: how far pictures are from the content of photos and from the Gram matrices of styles.

The loss of a photo x in a style, with F the features of the network's picture y and P those of x:

    content_weight * mean_l mean (F_l - P_l)^2 / mean P_l^2
    + style_weight * mean_l mean (G_l - A_l)^2 / mean A_l^2
    + tv_weight * (mean of squared differences of y, down + across)

and the mean over photos, so that a batch may be shared out. G and A are Gram matrices of the picture and of the style.
This is the loss of `ganart-gatys` for each photo: J. Johnson, A. Alahi, L. Fei-Fei, ECCV 2016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganart_faststyle.training_config import LossSettings
from ganart_zoo.contract import Backbone
from ganart_zoo.perceptual import ContentTarget, GramTarget, total_variation

__all__ = ["PaintingLoss"]


class PaintingLoss:
    """Compares pictures with photos and styles.

    Args:
        eye: Whose features are content and style.
        config: The weights of the terms.
    """

    def __init__(self, eye: Backbone, config: LossSettings) -> None:
        self.eye = eye
        self.config = config
        self.style_layers = eye.role_layers("style")
        self.content_layers = eye.role_layers("content")

    def __call__(self, pictures: Tensor, photos: Tensor, grams: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the scalars `loss`, `content`, `style` and `variation`.

        Args:
            pictures: `[n, 3, H, W]` in 0..1.
            photos: Likewise, what the pictures show.
            grams: `[n, C, C]`: by style layer, what each picture's Gram matrix should be.
        """
        config = self.config
        layers = (*self.style_layers, *(name for name in self.content_layers if name not in self.style_layers))
        with torch.no_grad():
            wanted = self.features(photos, self.content_layers)
        seen = self.features(pictures, layers)
        content = torch.stack([_content_loss(seen[name], wanted[name]) for name in self.content_layers]).mean()
        style = torch.stack([GramTarget(grams[name]).loss(seen[name]) for name in self.style_layers]).mean()
        variation = total_variation(pictures)
        total = config.content_weight * content + config.style_weight * style + config.tv_weight * variation
        return {"loss": total, "content": content, "style": style, "variation": variation}

    def features(self, pictures: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the features of pictures, computed in the eye's precision."""
        return self.eye(pictures.to(self.eye.compute_dtype), layers)


def _content_loss(seen: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean over photos of the distance of features `[n, C, h, w]` from those of the photos."""
    return torch.stack(
        [ContentTarget(own).loss(found) for found, own in zip(seen.split(1), wanted.split(1), strict=True)]
    ).mean()
