"""The recipe `faststyle`: a network learns to restyle photos in one pass.

Its loss stands in `losses`. J. Johnson, A. Alahi, L. Fei-Fei, ECCV 2016; several styles as V. Dumoulin, J. Shlens,
M. Kudlur, ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ganart_faststyle.losses import PaintingLoss
from ganart_faststyle.multistyle import MultiStyle, shape_in_file, styles_in_file
from ganart_faststyle.muon import Muon
from ganart_faststyle.training_config import FastStyleConfig
from ganart_zoo import ops
from ganart_zoo.contract import Backbone, Model, SettingsError
from ganart_zoo.contract.declarations import repeated
from ganart_zoo.contract.draws import uniforms
from ganart_zoo.data.pictures import Batch, Data
from ganart_zoo.imaging import load
from ganart_zoo.perceptual import fastest
from ganart_zoo.training import Recipe

__all__ = ["FastStyle"]


class FastStyle(Recipe):
    """Trains `multistyle` on photos and style pictures.

    Args:
        config: Styles, weights of the losses, and the run's settings.
        networks: `"stylist"`.
        backbone: Whose features are content and style.

    Raises:
        SettingsError: There are no styles, two have the same name, or the network is not `multistyle`.
        ImageError: A style cannot be read.
    """

    takes: ClassVar[Sequence[str]] = ()
    requires: ClassVar[Mapping[str, Sequence[str]]] = {"stylist": ("trainable", "named_styles")}
    config: FastStyleConfig

    def __init__(self, config: FastStyleConfig, networks: Mapping[str, Model], *, backbone: Backbone) -> None:
        super().__init__(config, networks, backbone=backbone)
        stylist = networks["stylist"]
        if not isinstance(stylist, MultiStyle):
            raise SettingsError(
                f"the recipe faststyle trains ganart-faststyle/multistyle, not {type(stylist).__name__}"
            )
        self.stylist = stylist
        self.backbone = backbone
        self.old_styles = 0
        if config.trunk is not None:
            self.old_styles = stylist.load_trunk(Path(config.trunk))

    @classmethod
    def network_settings(cls, role: str, config: Any, data: Data, conditions: Sequence[str]) -> dict[str, Any]:
        """Return the trunk's shape, and the names of the styles: those of the trunk, then those of the pictures."""
        shape = {} if config.trunk is None else shape_in_file(Path(config.trunk))
        return {**shape, "style_names": _style_names(config)}

    def check(self) -> None:
        """Read the style pictures and compute their Gram matrices."""
        size = self.config.style_size or 2 * self.engine.data.size
        self.loss = PaintingLoss(fastest(self.backbone, self.config.arithmetic), self.config)
        pictures = [load(path, size=size).to(self.engine.device) for path in self.config.style]
        layers = self.loss.style_layers
        seen = [self.loss.features(picture, layers) for picture in pictures]
        self.grams = {layer: torch.cat([ops.gram_matrix(features[layer]) for features in seen]) for layer in layers}

    def begin(self) -> None:
        """Make the optimizer and choose the photos of the sample grid."""
        norms = [parameter for name, parameter in self.stylist.named_parameters() if ".norm." in name]
        if self.old_styles:
            self.stylist.requires_grad_(False)
            for parameter in norms:
                parameter.requires_grad_(True)
                # The rows of old styles get no gradient, so Adam, which has no decay here, leaves them as they are.
                parameter.register_hook(self._new_rows_only)
        every = list(self.stylist.own_parameters())
        only_norms = self.old_styles or self.config.muon_rate
        adam = torch.optim.Adam(norms if only_norms else every, lr=self.config.rate)
        self.optimizers = [self.engine.optimizer("stylist", adam)]
        if self.config.muon_rate and not self.old_styles:
            filters = [parameter for parameter in every if parameter.ndim == 4]
            muon = Muon(filters, lr=self.config.muon_rate)
            self.optimizers.append(self.engine.optimizer("filters", muon))
        self.network = self.engine.wrap("stylist")
        rows = -(-self.config.samples // len(self.config.style))
        self.photos = self.engine.pictures(self.engine.examples(rows))
        self.preview_columns = len(self.config.style)

    def step(self, batches: Sequence[Batch]) -> Mapping[str, Tensor | float]:
        """Restyle the photos, each in a style drawn for it, and lower the loss."""
        config = self.config
        sums: dict[str, Tensor | float] = {}
        chosen = uniforms(range(config.batch), 1, config.seed, "style", self.engine.steps_done)[:, 0]
        for part in self.engine.parts(batches, "stylist"):
            styles = (chosen[part.rows.start : part.rows.stop] * len(config.style)).long().to(part.images.device)
            with self.engine.autocast():
                pictures = self.network(part.images, self._shares(styles))
            grams = {layer: gram[styles] for layer, gram in self.grams.items()}
            losses = self.loss(pictures, part.images, grams)
            self.engine.backward(losses["loss"])
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach() / config.accumulate
        for optimizer in self.optimizers:
            self.engine.step(optimizer)
        return sums

    def preview(self) -> Tensor:
        """Return each photo in each new style, one photo per row."""
        stylist = self.engine.average()
        styles = torch.arange(len(self.config.style), device=self.photos.device)
        with torch.no_grad():
            rows = [
                stylist(photo.expand(len(styles), -1, -1, -1), self._shares(styles)) for photo in self.photos.split(1)
            ]
        return torch.cat(rows)[: self.config.samples].clamp(0, 1).cpu()

    def card_rows(self) -> Mapping[str, str]:
        """Return what was learned."""
        return {"Styles": ", ".join(self.stylist.style_names), "Backbone": _model_name(self.backbone)}

    def _shares(self, styles: Tensor) -> Tensor:
        """Return `[n, all styles]`: the whole share for one of the new styles, by number."""
        shares = torch.zeros(len(styles), len(self.stylist.style_names), device=styles.device)
        return shares.scatter_(1, styles[:, None] + self.old_styles, 1.0)

    def _new_rows_only(self, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        gradient[: self.old_styles] = 0
        return gradient


def _style_names(config: FastStyleConfig) -> tuple[str, ...]:
    if not config.style:
        raise SettingsError("faststyle has no style to learn; give pictures with --style PICTURE, one for each style")
    old = () if config.trunk is None else styles_in_file(Path(config.trunk))
    names = (*old, *(Path(path).stem for path in config.style))
    if twice := repeated(names):
        raise SettingsError(f"two styles are named {twice[0]!r}; a style is named after its file, so rename one")
    return names


def _model_name(model: Model) -> str:
    return type(model).__name__ if model.provenance is None else model.provenance.model
