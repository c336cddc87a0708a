"""What the feed-forward models share: checks, the photo's colours, strength, and one report per picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganart_faststyle.config import Options
from ganart_zoo.contract import ImageError, OnStep, Rng, SettingsError, StepEvent, Style, StyleTransfer
from ganart_zoo.imaging import match_histogram, rgb_to_yiq, yiq_to_rgb

__all__ = ["FeedForward"]


class FeedForward(StyleTransfer):
    """A network that restyles a photo in one pass."""

    def stylize(
        self,
        content: Tensor,
        styles: Sequence[Style],
        *,
        init: Tensor | None = None,
        rng: Rng = None,
        options: Options | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return pictures `[n, 3, H, W]` of the content's size, type and device. Gradients reach the content.

        Args:
            content: `[n, 3, H, W]` in 0..1, of any size.
            styles: As the model takes them.
            init: Refused; one pass has no picture to start from.
            rng: Not used: nothing is random.
            options: None for the defaults.
            on_step: Called after each picture; after False, the pictures that remain are the content's.

        Raises:
            ImageError: The content is not a batch of pictures.
            SettingsError: The styles do not fit the model, or `init` was given.
        """
        options = options or Options()
        if content.ndim != 4 or content.shape[1] != 3 or not content.is_floating_point() or 0 in content.shape:
            raise ImageError(
                f"content is {content.dtype} {list(content.shape)}, expected floating point [n, 3, H, W] in 0..1"
            )
        if init is not None:
            raise SettingsError(f"{type(self).__name__} works in one pass and takes no init picture; leave it out")
        shares = self.style_shares(styles)
        photos = content.to(self.device, self.picture_dtype)
        pictures = list(photos.split(1))
        for row, photo in enumerate(photos.split(1)):
            pictures[row] = _finished(self(photo, shares), photo, options)
            if on_step is not None and self._report(on_step, row, pictures):
                break
        return torch.cat(pictures).to(content)

    def style_shares(self, styles: Sequence[Style]) -> Tensor | None:
        """Return the share of each learned style, `[styles]`, or None for a network without a choice.

        Raises:
            SettingsError: The styles do not fit the model.
        """
        raise NotImplementedError

    def forward(self, images: Tensor, shares: Tensor | None) -> Tensor:
        """Return styled pictures `[n, 3, H, W]` of the model's `picture_dtype`, not clamped.

        Args:
            images: `[n, 3, H, W]` in 0..1.
            shares: `[styles]`, or `[n, styles]` for a style of each picture's own; None where there is no choice.
        """
        raise NotImplementedError

    @staticmethod
    def _report(on_step: OnStep, row: int, pictures: list[Tensor]) -> bool:
        shown = [picture.detach() for picture in pictures]
        event = StepEvent(row + 1, len(shown), "restyling", {}, lambda: torch.cat(shown).clamp(0, 1))
        return on_step(event) is False


def _finished(picture: Tensor, photo: Tensor, options: Options) -> Tensor:
    """Return the picture in the colours and the strength asked for."""
    if options.preserve_colour == "luminance":
        picture = yiq_to_rgb(torch.cat([rgb_to_yiq(picture)[:, :1], rgb_to_yiq(photo)[:, 1:]], dim=1))
    elif options.preserve_colour == "histogram":
        picture = match_histogram(picture, photo)
    return photo.lerp(picture, options.alpha)
