"""What the feed-forward models share: checks, the photo's colours, strength, and one report per picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ganart_faststyle.config import Options
from ganart_zoo.contract import (
    ImageError,
    ModelError,
    OnStep,
    Rng,
    SettingsError,
    StepEvent,
    Style,
    StyleTransfer,
    load_tensors,
)
from ganart_zoo.imaging import match_histogram, rgb_to_yiq, yiq_to_rgb

__all__ = ["FeedForward", "finite_tensors"]


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
        paint = self.painter(content, styles, options)
        photos = content.to(self.device, self.picture_dtype)
        pictures = list(photos.split(1))
        for row, photo in enumerate(photos.split(1)):
            pictures[row] = _finished(paint(photo), photo, options)
            if on_step is not None and self._report(on_step, row, pictures):
                break
        return torch.cat(pictures).to(content)

    def painter(self, content: Tensor, styles: Sequence[Style], options: Options) -> Callable[[Tensor], Tensor]:
        """Return what restyles one photo `[1, 3, H, W]` of the content's size.

        Raises:
            SettingsError: The styles do not fit the model.
        """
        shares = self.style_shares(styles)
        return lambda photo: cast(Tensor, self(photo, shares))

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


def finite_tensors(files: Mapping[str, Path], model: str) -> dict[str, Tensor]:
    """Return the tensors of the one file of `model`'s weights.

    Raises:
        ModelError: There is not exactly one file, or it holds NaN.
        WeightsError: The file is damaged.
    """
    if len(files) != 1:
        raise ModelError(f"{model} takes one weights file, got {len(files)}: {', '.join(sorted(files))}")
    (path,) = files.values()
    tensors = load_tensors(path)
    if broken := [name for name, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise ModelError(f"{path.name} has values that are NaN or infinite in {broken[0]!r}; get it again")
    return tensors


def _finished(picture: Tensor, photo: Tensor, options: Options) -> Tensor:
    """Return the picture in the colours and the strength asked for."""
    if options.preserve_colour == "luminance":
        picture = yiq_to_rgb(torch.cat([rgb_to_yiq(picture)[:, :1], rgb_to_yiq(photo)[:, 1:]], dim=1))
    elif options.preserve_colour == "histogram":
        picture = match_histogram(picture, photo)
    return photo.lerp(picture, options.alpha)
