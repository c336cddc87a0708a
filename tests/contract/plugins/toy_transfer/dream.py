"""Gradient ascent on activations (Mordvintsev et al. 2015, in small), free or towards a guide picture's."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ganart_zoo.contract import Backbone, Settings, StepEvent, Style, StyleTransfer
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
        picture = (content if init is None else init).to(self.picture_dtype).clone()
        best, lowest = picture, torch.full((len(picture),), torch.inf, dtype=self.picture_dtype, device=self.device)
        for step in range(1, options.steps + 1):
            gradient, losses = self._descend(picture, layers, aims)
            better = losses < lowest
            best = torch.where(better[:, None, None, None], picture, best)
            lowest = torch.where(better, losses, lowest)
            size = gradient.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
            picture = picture - options.strength * gradient / size
            shown = best
            event = StepEvent(
                step, options.steps, "dream", {"dream": float(lowest.sum())}, lambda shown=shown: shown.clamp(0, 1)
            )
            if on_step is not None and on_step(event) is False:
                break
        return best

    def _aims(self, styles: Sequence[Style], layers: Sequence[str]) -> list[tuple[float, dict[str, Tensor]]]:
        return [
            (share, {name: _mean(features) for name, features in self.backbone(style.image, layers).items()})
            for share, style in zip(self.shares(styles), styles, strict=True)
        ]

    def _descend(
        self, picture: Tensor, layers: Sequence[str], aims: Sequence[tuple[float, dict[str, Tensor]]]
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient and the loss of each row."""
        with torch.enable_grad():
            picture = picture.detach().requires_grad_()
            seen = self.backbone(picture, layers)
            if aims:
                losses = sum(
                    share * (_mean(seen[name]) - aim[name]).square().mean(dim=1)
                    for share, aim in aims
                    for name in layers
                )
            else:
                losses = -sum(seen[name].to(self.picture_dtype).square().mean(dim=(1, 2, 3)) for name in layers)
            (gradient,) = torch.autograd.grad(losses.sum(), picture)
        return gradient, losses.detach().to(self.picture_dtype)


def _mean(features: Tensor) -> Tensor:
    return features.to(torch.promote_types(features.dtype, torch.float32)).mean(dim=(2, 3))
