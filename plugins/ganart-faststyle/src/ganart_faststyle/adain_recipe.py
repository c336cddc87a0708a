"""The recipe `adain`: a decoder learns to paint photos in the style of any picture.

The loss of a photo in a style is that of the recipe `faststyle`; here each photo gets a style picture of its own, cut
from the style pictures at random and, so that the decoder meets many more styles than there are pictures, sometimes
with its colours exchanged. X. Huang, S. Belongie, ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ganart_faststyle.adain import AdaIN, Statistics, moments
from ganart_faststyle.losses import PaintingLoss
from ganart_faststyle.training_config import AdaINTrainingConfig
from ganart_zoo import ops
from ganart_zoo.contract import ImageError, Model, SettingsError
from ganart_zoo.contract.draws import key_seed, uniforms
from ganart_zoo.data import open_data
from ganart_zoo.data.indexed import MOST_FAILURES, IndexedData
from ganart_zoo.data.pictures import Batch
from ganart_zoo.imaging import load, resize
from ganart_zoo.perceptual import fastest
from ganart_zoo.training import Recipe

__all__ = ["AdaINTraining"]

_MEASURED = 64
"""Style pictures whose statistics set the scale of those that the decoder is given."""
_LARGEST_ZOOM = 2.0


class AdaINTraining(Recipe):
    """Trains `adain` on photos and style pictures.

    Args:
        config: Styles, weights of the losses, and the run's settings.
        networks: `"stylist"`.

    Raises:
        SettingsError: There are no styles, or the network is not `adain`.
    """

    takes: ClassVar[Sequence[str]] = ()
    requires: ClassVar[Mapping[str, Sequence[str]]] = {"stylist": ("trainable", "image_styles")}
    config: AdaINTrainingConfig

    def __init__(self, config: AdaINTrainingConfig, networks: Mapping[str, Model]) -> None:
        super().__init__(config, networks)
        stylist = networks["stylist"]
        if not isinstance(stylist, AdaIN):
            raise SettingsError(f"the recipe adain trains ganart-faststyle/adain, not {type(stylist).__name__}")
        if not config.style and config.style_data is None:
            raise SettingsError(
                "adain has no styles to learn from; give a folder of pictures with --style-data FOLDER, "
                "or pictures with --style PICTURE"
            )
        self.stylist = stylist

    def check(self) -> None:
        """Open the style pictures, and measure how their statistics vary."""
        config = self.config
        side = config.style_size or 2 * self.engine.data.size
        self.eye = fastest(self.stylist.backbone, config.arithmetic)
        self.loss = PaintingLoss(self.eye, config)
        self.styles = _Styles(config, side)
        with torch.no_grad():
            rows = range(_MEASURED)
            pictures = self.styles.pictures(rows, "measured").to(self.engine.device)
            measured = [self._seen(part)[1] for part in pictures.split(8)]
            every = torch.cat(
                [
                    torch.cat([values for name in self.stylist.layers for values in statistics[name]], dim=1)
                    for statistics in measured
                ]
            )
            self.stylist.centre.copy_(every.mean(dim=0))
            self.stylist.spread.copy_(every.std(dim=0).clamp_min(1e-3))

    def begin(self) -> None:
        """Make the optimizer and choose the photos and styles of the sample grid."""
        parameters = list(self.stylist.own_parameters())
        self.optimizer = self.engine.optimizer("stylist", torch.optim.Adam(parameters, lr=self.config.rate))
        self.network = self.engine.wrap("stylist")
        self.preview_columns = columns = min(8, self.config.samples)
        self.photos = self.engine.pictures(self.engine.examples(-(-self.config.samples // columns)))
        with torch.no_grad():
            shown = self.styles.pictures(range(columns), "shown").to(self.engine.device)
            self.shown = self.stylist.statistics(shown.to(self.stylist.picture_dtype))

    def step(self, batches: Sequence[Batch]) -> Mapping[str, Tensor | float]:
        """Restyle the photos, each in a style drawn for it, and lower the loss."""
        config = self.config
        sums: dict[str, Tensor | float] = {}
        for part in self.engine.parts(batches, "stylist"):
            styles = self.styles.pictures(part.rows, "style", self.engine.steps_done).to(part.images)
            with torch.no_grad():
                grams, statistics = self._seen(styles)
            with self.engine.autocast():
                pictures = self.network(part.images, statistics)
            losses = self.loss(pictures, part.images, grams)
            self.engine.backward(losses["loss"])
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach() / config.accumulate
        self.engine.step(self.optimizer)
        return sums

    def preview(self) -> Tensor:
        """Return each photo in some of the styles, one photo per row."""
        stylist = self.engine.average()
        columns = len(next(iter(self.shown.values()))[0])
        with torch.no_grad():
            rows = [stylist(photo.expand(columns, -1, -1, -1), self.shown) for photo in self.photos.split(1)]
        return torch.cat(rows)[: self.config.samples].clamp(0, 1).cpu()

    def card_rows(self) -> Mapping[str, str]:
        """Return what was learned from."""
        return {"Style pictures": str(len(self.styles))}

    def _seen(self, styles: Tensor) -> tuple[dict[str, Tensor], Statistics]:
        """Return the Gram matrices that the loss asks for, and the statistics that the network is given."""
        names = tuple(dict.fromkeys((*self.loss.style_layers, *self.stylist.layers)))
        seen = self.eye(styles.to(self.eye.compute_dtype, memory_format=torch.channels_last), names)
        grams = {name: ops.gram_matrix(seen[name]) for name in self.loss.style_layers}
        return grams, {name: moments(seen[name]) for name in self.stylist.layers}


class _Styles:
    """Style pictures, cut to squares at random.

    Args:
        config: Names the pictures.
        side: Of the squares, in pixels.

    Raises:
        ImageError: A picture cannot be read, or there are none.
        SettingsError: The data cannot be read by number.
    """

    def __init__(self, config: AdaINTrainingConfig, side: int) -> None:
        self._config = config
        self._side = side
        # the short side is the largest that a square is cut from
        self._named = [_short_side(load(path), round(_LARGEST_ZOOM * side)) for path in config.style]
        self._data: IndexedData | None = None
        if config.style_data is not None:
            data = open_data(Path(config.style_data), side, crop="random", flip=True)
            if not isinstance(data, IndexedData):
                raise SettingsError(f"{config.style_data} is shards; give style pictures as a folder or an .npz file")
            self._data = data

    def __len__(self) -> int:
        return len(self._named) + (0 if self._data is None else len(self._data))

    def pictures(self, rows: range, *key: int | str) -> Tensor:
        """Return `[len(rows), 3, side, side]` in 0..1, those of these rows of a global batch."""
        draws = uniforms(rows, 8, self._config.seed, *key).tolist()
        seeds = [key_seed("styles", self._config.seed, *key, row) for row in rows]
        return torch.cat([self._picture(drawn, seed) for drawn, seed in zip(draws, seeds, strict=True)])

    def _picture(self, draws: Sequence[float], seed: int) -> Tensor:
        which, zoom, down, across, flips, recolours, order, inverts = draws
        from_named = which < (1.0 if self._data is None else 0.5 if self._named else 0.0)
        if from_named:
            share = which if self._data is None else 2 * which
            picture = _cut(self._named[int(share * len(self._named))], self._side, zoom, down, across)
        else:
            share = which if not self._named else 2 * which - 1
            picture = self._fetched(int(share * len(self._data or ())), seed)
        if flips < 0.5:
            picture = picture.flip(3)
        if recolours < self._config.recolour:
            orders = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
            picture = picture[:, list(orders[int(order * len(orders))])]
            picture = 1 - picture if inverts < 0.25 else picture
        return picture

    def _fetched(self, index: int, seed: int) -> Tensor:
        """Return a picture of the data; one that cannot be read gives way to the next."""
        assert self._data is not None
        last: ImageError | None = None
        for further in range(min(len(self._data), MOST_FAILURES)):
            try:
                return self._data.fetch((index + further) % len(self._data), seed).image[None].float() / 255
            except ImageError as error:
                last = error
        raise ImageError(f"no style picture can be read; the last: {last}")


def _short_side(picture: Tensor, most: int) -> Tensor:
    """Return a picture scaled down so that its short side is at most `most`."""
    height, width = picture.shape[-2:]
    factor = most / min(height, width)
    return picture if factor >= 1 else resize(picture, (round(height * factor), round(width * factor)))


def _cut(picture: Tensor, side: int, zoom: float, down: float, across: float) -> Tensor:
    """Return a square of `side` pixels from anywhere in a picture at one of the sizes from `side` up to its own."""
    height, width = picture.shape[-2:]
    short = min(height, width)
    own = min(short, round(side * short / (side + zoom * max(0, short - side))))
    top, left = int(down * (height - own + 1)), int(across * (width - own + 1))
    return resize(picture[..., top : top + own, left : left + own], (side, side)).clamp(0, 1)
