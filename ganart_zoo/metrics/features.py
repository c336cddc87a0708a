"""Features of whole pictures: a layer of a backbone, averaged over the picture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganart_zoo.contract.errors import ModelError, SettingsError
from ganart_zoo.contract.models import Backbone
from ganart_zoo.imaging.images import resize

__all__ = ["PooledFeatures", "as_saved"]


def as_saved(images: Tensor) -> Tensor:
    """Return pictures with the values they would have after being saved to an 8-bit file and loaded again.

    Raises:
        ModelError: A value is NaN or infinite.
    """
    if not torch.isfinite(images).all():
        raise ModelError("a generated picture holds NaN or infinite values; the run that made the generator diverged")
    return images.clamp(0, 1).mul(255).round_().div_(255)


class PooledFeatures:
    """Turns pictures into features `[n, d]`.

    Args:
        backbone: The network that computes the features.
        layer: The layer to use; None means the deepest one before the class head.
        side: The side in pixels to which pictures are scaled.

    Raises:
        SettingsError: The layer is unknown, or the side is too small.
    """

    def __init__(self, backbone: Backbone, layer: str | None = None, side: int = 128) -> None:
        if side < 16:
            raise SettingsError(f"side is {side}, expected at least 16 pixels")
        self._backbone = backbone
        self.layer = layer or next(name for name in reversed(list(backbone.layers)) if name != "logits")
        backbone.check_layers([self.layer])
        self._side = side

    @property
    def dimensions(self) -> int:
        """The number of features of one picture."""
        return self._backbone.layers[self.layer].channels

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 `[n, d]` on the CPU, for pictures `[n, 3, H, W]` in 0..1."""
        with torch.no_grad():
            images = resize(images.to(self._backbone.device, torch.float32), (self._side, self._side))
            features: Tensor = self._backbone(images, [self.layer])[self.layer].to(torch.float32)
        return (features.mean(dim=(2, 3)) if features.ndim == 4 else features).cpu()

    def describe(self) -> dict[str, Any]:
        """Return the facts that must accompany any number computed from these features."""
        provenance = self._backbone.provenance
        return {
            "backbone": type(self._backbone).__name__ if provenance is None else provenance.model,
            "config": None if provenance is None else dict(provenance.config),
            "weights": None if provenance is None else dict(provenance.files),
            "layer": self.layer,
            "dimensions": self.dimensions,
            "pooling": "mean",
            "side": self._side,
            "resizer": "bicubic, antialiased",
        }
