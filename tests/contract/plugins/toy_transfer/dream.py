"""Gradient ascent on activations (Mordvintsev et al. 2015, in small), free or towards a guide picture's."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ganart_zoo.contract import Backbone, Settings, Style, StyleTransfer
from ganart_zoo.perceptual import Descent, Evaluation, NormalizedGradient, Progress, descend
from toy_transfer.config import DreamOptions


class Dream(StyleTransfer):
    """The picture of the best step is kept, so stopping early never loses it."""

    def __init__(self, config: Settings, backbone: Backbone) -> None:
        super().__init__(config)
        self.backbone = backbone

    def stylize(self, content, styles: Sequence[Style], *, init=None, rng=None, options=None, on_step=None) -> Tensor:
        options = options or DreamOptions()
        layers = self.backbone.role_layers("dream", options.layers)
        aims = self._aims(styles, layers)
        picture = (content if init is None else init).to(self.picture_dtype).clone().requires_grad_()
        progress = Progress(picture.detach(), options.steps, on_step)

        def report(_: Evaluation, best: Descent) -> bool:
            return progress.step({"dream": best.loss.sum()}, lambda: best.picture, "dream")

        return descend(
            NormalizedGradient([picture], lr=options.strength),
            lambda step: Evaluation(self._losses(picture, layers, aims), picture),
            steps=options.steps,
            on_step=report,
        ).picture

    def _aims(self, styles: Sequence[Style], layers: Sequence[str]) -> list[tuple[float, dict[str, Tensor]]]:
        return [
            (share, {name: _mean(features) for name, features in self.backbone(style.image, layers).items()})
            for share, style in zip(self.shares(styles), styles, strict=True)
        ]

    def _losses(
        self, picture: Tensor, layers: Sequence[str], aims: Sequence[tuple[float, dict[str, Tensor]]]
    ) -> Tensor:
        """Return the loss of each row."""
        seen = self.backbone(picture, layers)
        if not aims:
            return -sum(seen[name].to(self.picture_dtype).square().mean(dim=(1, 2, 3)) for name in layers)
        return sum(
            share * (_mean(seen[name]) - aim[name]).square().mean(dim=1).to(self.picture_dtype)
            for share, aim in aims
            for name in layers
        )


def _mean(features: Tensor) -> Tensor:
    return features.to(torch.promote_types(features.dtype, torch.float32)).mean(dim=(2, 3))
