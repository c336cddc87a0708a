"""What the feed-forward models share: checks, the photo's colours, strength, and one report per picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ganart_faststyle.config import Options, TiledOptions
from ganart_faststyle.tiled import STRIDE, Strips, collected, recorded
from ganart_zoo.contract import (
    ImageError,
    ModelError,
    OnStep,
    PictureRows,
    Rng,
    SettingsError,
    StepEvent,
    Style,
    StyleTransfer,
    load_tensors,
)
from ganart_zoo.imaging import match_histogram, rgb_to_yiq, yiq_to_rgb
from ganart_zoo.imaging.strips import reduced_rows, reduced_sides
from ganart_zoo.imaging.tiles import largest_crop
from ganart_zoo.perceptual import MemoryFit, fit_memory, peak_bytes

__all__ = ["FeedForward", "finite_tensors"]

STATISTICS_PIXELS = 2**20
"""Of the copy from which the norms of tiles take their statistics."""
_STRIPS = 4
"""Strips in memory at once: as read, as painted, as finished, and the one before, which was shown."""
_DECODING = 24
"""Bytes that decoding a pixel of some rows takes for a moment."""
LEAST_PIXELS = 2**12
"""Of the copy on which norms are counted."""


class FeedForward(StyleTransfer):
    """A network that restyles a photo in one pass.

    Attributes:
        halo: How many pixels around a tile the network looks at; None for one that cannot work in tiles.
    """

    halo: int | None = None

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
            pictures[row] = _finished(self._painted(paint, photo, options), photo, options)
            if on_step is not None and self._report(on_step, row, pictures):
                break
        made = pictures[0] if len(pictures) == 1 else torch.cat(pictures)
        return made.to(content)

    def one_pass(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Return the network's pictures; see `StyleTransfer.one_pass`."""
        return cast(Tensor, self(content, style))

    def strips(
        self,
        source: PictureRows,
        styles: Sequence[Style],
        *,
        options: Options | None = None,
        on_step: OnStep | None = None,
    ) -> Iterator[Tensor] | None:
        """Return the restyled picture in strips; see `StyleTransfer.strips`.

        After a false answer of `on_step` the strips that remain are the photo's.
        """
        if not isinstance(options, TiledOptions) or options.tile is None or self.halo is None:
            return None
        if options.preserve_colour == "histogram":  # which needs the whole picture
            return None
        paint = self.painter(source(0, 1), styles, options)
        return self._restyled(self._strips(paint, source, options), options, on_step)

    def memory(
        self, styles: Sequence[Style], *, options: Options | None = None
    ) -> Callable[[int, int, int | None], int]:
        """Return a forecast of the bytes that a call takes; see `StyleTransfer.memory`."""
        halo, chosen = self.halo, options or Options()
        reading, fit = self._measured(styles, chosen)

        def forecast(height: int, width: int, tile: int | None) -> int:
            row = 3 * width * self.picture_dtype.itemsize
            end = _finishing(chosen) * row * height  # once the features are gone
            if halo is None or tile is None or max(height, width) <= tile:
                parts = row * height * (len(styles) if halo is None else 0)  # pictures that regions share
                return max(reading, fit(height, width) + parts, end)
            seen = largest_crop(height, width, tile=tile, halo=halo, stride=STRIDE)
            reduced = fit(*reduced_sides(height, width, STATISTICS_PIXELS))
            return max(reading, fit(*seen) + row * (seen[0] + height), reduced, end)

        return forecast

    def strip_memory(
        self, styles: Sequence[Style], *, options: Options | None = None
    ) -> Callable[[int, int, int | None], int] | None:
        """Return a forecast of the bytes that strips take; see `StyleTransfer.strip_memory`."""
        halo, chosen = self.halo, options or Options()
        if halo is None:
            return None
        reading, fit = self._measured(styles, chosen)

        def forecast(height: int, width: int, tile: int | None) -> int:
            row, tile = 3 * width * self.picture_dtype.itemsize, tile or max(height, width)
            seen = largest_crop(height, width, tile=tile, halo=halo, stride=STRIDE)
            reduced = fit(*reduced_sides(height, width, STATISTICS_PIXELS))
            decoding = _DECODING * width * seen[0]
            end = _finishing(chosen) * row * seen[0]
            return max(reading, decoding, reduced, _STRIPS * row * seen[0] + max(fit(*seen), end))

        return forecast

    def _measured(self, styles: Sequence[Style], options: Options) -> tuple[int, MemoryFit]:
        """Return the bytes that looking at the styles takes, and those for a size of photo."""
        made: list[Callable[[Tensor], Tensor]] = []
        plain = [replace(style, region=None, source_region=None) for style in styles]
        with torch.no_grad():
            photo = torch.zeros(1, 3, 64, 64, dtype=self.picture_dtype, device=self.device)
            reading = peak_bytes(lambda: made.append(self.painter(photo, plain, options)))

            def work(side: int) -> None:
                photo = torch.rand(1, 3, side, side, dtype=self.picture_dtype, device=self.device)
                if self.halo is None:
                    made[0](photo)
                else:  # as in tiles, where norms and activations are two steps
                    recorded(made[0], photo)

            return reading, fit_memory(work)

    @torch.no_grad()
    def _restyled(self, strips: Strips, options: Options, on_step: OnStep | None) -> Iterator[Tensor]:
        stopped, number = False, 0
        for painted, photo in strips:
            number += 1  # noqa: SIM113  enumerate would keep a strip while the next is made
            strip = photo if stopped else _finished(painted, photo, options)
            del painted, photo
            yield strip
            if on_step is not None and not stopped:
                event = StepEvent.of(number, len(strips), "restyling", picture=strip)
                stopped = on_step(event) is False
                del event
            del strip

    def _strips(self, paint: Callable[[Tensor], Tensor], source: PictureRows, options: TiledOptions) -> Strips:
        assert options.tile is not None and self.halo is not None  # noqa: PT018  as callers checked
        size, tile, halo = (source.height, source.width), options.tile, self.halo

        def read(top: int, bottom: int) -> Tensor:
            return source(top, bottom).to(self.device, self.picture_dtype)

        with torch.no_grad():
            exact = options.tile_statistics == "exact"
            small = source.reduced(LEAST_PIXELS if exact else STATISTICS_PIXELS).to(self.device, self.picture_dtype)
            statistics = recorded(paint, small)
            if exact:
                statistics = collected(paint, read, size, tile=tile, halo=halo, norms=len(statistics))
        return Strips(paint, read, size, tile=tile, halo=halo, statistics=statistics)

    def _painted(self, paint: Callable[[Tensor], Tensor], photo: Tensor, options: Options) -> Tensor:
        """Return a photo `[1, 3, H, W]` restyled, at once or in tiles; in tiles no gradient reaches the photo."""
        if not isinstance(options, TiledOptions) or options.tile is None or max(photo.shape[-2:]) <= options.tile:
            return paint(photo)
        result, top = torch.empty_like(photo), 0
        with torch.no_grad():
            for painted, _ in self._strips(paint, _Rows(photo), options):
                result[..., top : top + painted.shape[-2], :] = painted
                top += painted.shape[-2]
        return result

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


class _Rows:
    """A photo `[1, 3, H, W]` as rows."""

    def __init__(self, photo: Tensor) -> None:
        self._photo = photo
        self.height, self.width = photo.shape[-2:]

    def __call__(self, top: int, bottom: int) -> Tensor:
        return self._photo[..., top:bottom, :]

    def reduced(self, pixels: int) -> Tensor:
        return reduced_rows(self, self.height, self.width, pixels)


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


def _finishing(options: Options) -> int:
    """Return how many pictures changing the colours and the strength of one takes, with itself."""
    return 6 if options.preserve_colour == "luminance" else 2


def _finished(picture: Tensor, photo: Tensor, options: Options) -> Tensor:
    """Return the picture in the colours and the strength asked for."""
    if options.preserve_colour == "luminance":
        picture = yiq_to_rgb(torch.cat([rgb_to_yiq(picture)[:, :1], rgb_to_yiq(photo)[:, 1:]], dim=1))
    elif options.preserve_colour == "histogram":
        picture = match_histogram(picture, photo)
    return photo.lerp(picture, options.alpha)
