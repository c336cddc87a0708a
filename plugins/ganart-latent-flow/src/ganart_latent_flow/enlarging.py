"""The recipe of the upscaler: pictures shrunk to a quarter of their side are to become what they were.

A part of them passes through the autoencoder first, so that the upscaler learns from the decoder's pictures too, which
are what it will be given. The loss is the absolute difference of pixels and of neighbouring pixels' differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ganart_latent_flow.learning import BETAS, LatentRecipe
from ganart_latent_flow.training_config import UpscalerConfig
from ganart_latent_flow.upscaler import FACTOR
from ganart_zoo.contract.draws import uniforms
from ganart_zoo.data.pictures import Batch, Data

__all__ = ["LatentUpscaler", "edge_difference"]


def edge_difference(pictures: Tensor, originals: Tensor) -> Tensor:
    """Return the mean absolute difference of the steps between neighbouring pixels, across and down.

    Args:
        pictures: `[n, 3, H, W]`.
        originals: `[n, 3, H, W]`.
    """
    off = pictures - originals
    across, down = off[..., 1:] - off[..., :-1], off[:, :, 1:] - off[:, :, :-1]
    return (across.abs().mean() + down.abs().mean()) / 2


class LatentUpscaler(LatentRecipe):
    """Trains the upscaler of a latent flow; all else is frozen.

    Args:
        config: How it learns.
        networks: `"generator"`, a latent flow.
    """

    takes: ClassVar[Sequence[str]] = ()
    enlarged: ClassVar[int] = FACTOR
    config: UpscalerConfig

    @classmethod
    def network_settings(cls, role: str, config: Any, data: Data, conditions: Sequence[str]) -> dict[str, Any]:
        """Return the side of the generator's own pictures, which is a quarter of the data's."""
        return {"resolution": data.size // FACTOR}

    def begin(self) -> None:
        """Make the optimizer and take the pictures of the sample grid."""
        self.generator.requires_grad_(False)
        self.generator.upscaler.requires_grad_(True)
        self._optimizer = self.engine.optimizer(
            "generator", torch.optim.AdamW(self.generator.upscaler.parameters(), self.config.rate, BETAS)
        )
        third = max(1, self.config.samples // 3)
        self._shown = self.engine.pictures(self.engine.examples(third))
        self.preview_columns = 6 if third > 1 else 3

    def step(self, batches: Sequence[Batch]) -> Mapping[str, Tensor | float]:
        """Enlarge one part of each picture of a batch."""
        terms: dict[str, Tensor] = {}
        for part in self.engine.parts(batches, "generator"):
            chance = uniforms(part.rows, 3, self.config.seed, "crops", self.engine.steps_done).tolist()
            small, large = self._pairs(part.images, chance)
            with self.engine.autocast():
                enlarged = self.generator.upscaler(small)
            enlarged = enlarged.to(large.dtype)
            pixels, edges = (enlarged - large).abs().mean(), edge_difference(enlarged, large)
            self.engine.backward(pixels + self.config.edge_weight * edges)
            for name, term in (("pixels", pixels), ("edges", edges)):
                terms[name] = terms.get(name, 0) + term.detach() / self.config.accumulate
        self.descend()
        return terms

    def preview(self) -> Tensor:
        """Return each original after its bicubic enlargement and the averaged model's."""
        with torch.no_grad():
            small = _shrunk(self._shown)
            bicubic = functional.interpolate(small, scale_factor=FACTOR, mode="bicubic")
            enlarged = self.averaged_model().upscaler(small).to(self._shown.dtype)
        return torch.stack([bicubic, enlarged, self._shown], dim=1).flatten(0, 1).clamp(0, 1).cpu()

    def _pairs(self, originals: Tensor, chance: Sequence[Sequence[float]]) -> tuple[Tensor, Tensor]:
        """Return for each original a square cut from its small picture, and from itself."""
        with torch.no_grad(), self.engine.autocast():
            shrunk = _shrunk(originals)
            decoded = [row for row, (kind, _, _) in enumerate(chance) if kind < self.config.decoded]
            if decoded:
                autoencoder = self.generator.autoencoder
                shrunk[decoded] = autoencoder.decode(autoencoder.encode(shrunk[decoded])).clamp(0, 1).to(shrunk.dtype)
        side = min(self.config.window, shrunk.shape[-1])
        small, large = [], []
        for row, (_, down, across) in enumerate(chance):
            top, left = (int(share * (shrunk.shape[-1] - side + 1)) for share in (down, across))
            small.append(shrunk[row, :, top : top + side, left : left + side])
            top, left, whole = top * FACTOR, left * FACTOR, side * FACTOR
            large.append(originals[row, :, top : top + whole, left : left + whole])
        return torch.stack(small), torch.stack(large)


def _shrunk(pictures: Tensor) -> Tensor:
    return functional.interpolate(pictures, scale_factor=1 / FACTOR, mode="bilinear", antialias=True)
