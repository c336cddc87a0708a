"""The network: it moves the colours of the photo to those of the style, and adds strokes by two convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ganart_zoo.contract import OnStep, Rng, Settings, SettingsError, Style, StyleTransfer
from torch import Tensor, nn
from torch.nn.functional import softsign as squash

from frozen_oil.config import Config, Options

__all__ = ["FrozenOil"]


class FrozenOil(StyleTransfer):
    """Gives a photo the mean and the spread of each colour of the style pictures. It draws no noise."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.first = nn.Conv2d(3, config.width, 3, padding=1)
        self.last = nn.Conv2d(config.width, 3, 3, padding=1)

    def stylize(
        self,
        content: Tensor,
        styles: Sequence[Style],
        *,
        init: Tensor | None = None,
        rng: Rng = None,
        options: Settings | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return pictures `[n, 3, H, W]` of the content's size, not clamped.

        Raises:
            SettingsError: There is no style picture, or a weight is wrong.
        """
        shares = self.shares(styles)
        pictures = [style.image for style in styles if style.image is not None]
        if not pictures or len(pictures) < len(styles):
            raise SettingsError(f"expected styles with a picture each, but {len(styles)} styles have {len(pictures)}")
        chosen = options if isinstance(options, Options) else Options()
        mean = torch.zeros(1, 3, 1, 1, device=content.device, dtype=content.dtype)
        spread = torch.zeros_like(mean)
        for share, picture in zip(shares, pictures, strict=True):
            mean = mean + share * picture.to(mean).mean(dim=(2, 3), keepdim=True)
            spread = spread + share * picture.to(mean).std(dim=(2, 3), keepdim=True)
        own = content.std(dim=(2, 3), keepdim=True).clamp_min(1e-3)
        moved = (content - content.mean(dim=(2, 3), keepdim=True)) / own * spread + mean
        strokes = self.last(squash(self.first(moved.to(self.first.weight.dtype))))
        restyled = moved + 0.1 * strokes.to(moved.dtype)
        return torch.lerp(content, restyled, chosen.strength)
