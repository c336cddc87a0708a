"""What a dream raises: the activations of layers, channels or classes, or their agreement with a guide picture.

Each objective maps features to one number for the picture, which ascent makes larger. Each is a mean over positions, so
its gradient at a pixel depends on the pixel's neighbourhood alone.

    layers     mean F^2 / (mean F^2 of the photo), averaged over layers
    channels   mean of the channels' activations
    classes    mean of the classes' logits
    guide      mean over positions p of the largest F_p . G_q over the guide's positions q, relative to the photo's
               mean F^2

The guide follows Mordvintsev, Tyka, Olah, "DeepDreams with Caffe", 2015.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganart_deepdream.config import Options
from ganart_zoo.contract import Backbone, SettingsError
from ganart_zoo.perceptual import Tiling

__all__ = ["Guide", "Objective", "objective"]

_HEAD = "logits"
_MOST_POSITIONS = 1024
"""Guide positions compared with each position of the picture; more are thinned out evenly."""


class Objective:
    """The number that a dream raises.

    Attributes:
        layers: The backbone's layers to ask for.
    """

    layers: tuple[str, ...]

    def __call__(self, features: Mapping[str, Tensor], positions: Mapping[str, int] | None = None) -> Tensor:
        """Return a scalar for the features of one picture by layer: higher is more of a dream.

        Args:
            features: `{name: [1, C, h, w]}`.
            positions: For the features of a tile: the positions of each layer in the whole picture. The results of all
                tiles then add up to that of the picture.
        """
        raise NotImplementedError


class Layers(Objective):
    """Whole layers, relative to their energy in the photo, so that several count alike.

    Args:
        layers: Names.
        energies: The mean squares of their features of the photo.
    """

    def __init__(self, layers: tuple[str, ...], energies: Mapping[str, Tensor]) -> None:
        self.layers = layers
        self._scales = {name: _inverse(energies[name]) for name in layers}

    def __call__(self, features: Mapping[str, Tensor], positions: Mapping[str, int] | None = None) -> Tensor:
        energies = [_mean(_wide(features[name]).square(), name, positions) * self._scales[name] for name in self.layers]
        return torch.stack(energies).mean()


class Channels(Objective):
    """Some channels of a layer, or classes of the head."""

    def __init__(self, layer: str, channels: Sequence[int]) -> None:
        self.layers = (layer,)
        self._channels = list(channels)

    def __call__(self, features: Mapping[str, Tensor], positions: Mapping[str, int] | None = None) -> Tensor:
        return _mean(_wide(features[self.layers[0]][:, self._channels]), self.layers[0], positions)


class Guide(Objective):
    """Agreement with guide pictures: each position is drawn to the guide's features that it resembles most.

    Args:
        layers: Names.
        energies: The mean squares of their features of the photo.
        guides: Each guide's share of the whole, and its features by layer.
    """

    def __init__(
        self,
        layers: tuple[str, ...],
        energies: Mapping[str, Tensor],
        guides: Sequence[tuple[float, Mapping[str, Tensor]]],
    ) -> None:
        self.layers = layers
        self._scales = {
            name: _inverse(energies[name]) / max(features[name].shape[1] for _, features in guides) for name in layers
        }
        self._guides = [(share, {name: _columns(features[name]) for name in layers}) for share, features in guides]

    def __call__(self, features: Mapping[str, Tensor], positions: Mapping[str, int] | None = None) -> Tensor:
        terms = []
        for name in self.layers:
            seen = _wide(features[name]).flatten(2)[0]
            for share, guide in self._guides:
                agreement = _mean((guide[name].T @ seen).amax(dim=0), name, positions)
                terms.append(share * agreement * self._scales[name])
        return torch.stack(terms).sum() / len(self.layers)


def objective(backbone: Backbone, options: Options, photo: Tensor, guides: Sequence[tuple[float, Tensor]]) -> Objective:
    """Return what the options ask for.

    Args:
        backbone: Its layers are checked.
        options: Layers, channels or classes.
        photo: `[1, 3, H, W]`, by whose features layers are balanced.
        guides: Shares that sum to 1, and pictures `[1, 3, h, w]`; empty for a free dream.

    Raises:
        SettingsError: The backbone has no such layer, channel or class, or the options do not fit together.
    """
    if options.classes is not None:
        if _HEAD not in backbone.layers:
            raise SettingsError(
                f"{type(backbone).__name__} has no class head; build it with backbone.classifier=true, "
                "or choose layers in place of classes"
            )
        if guides:
            raise SettingsError("classes and a guide picture were both given; leave one out")
        return Channels(_HEAD, _numbers(backbone, _HEAD, options.classes, "class"))
    layers = backbone.role_layers("dream", options.layers)
    if options.channels is not None:
        if len(layers) != 1:
            raise SettingsError(f"channels belong to one layer, and {len(layers)} were given: {', '.join(layers)}")
        if guides:
            raise SettingsError("channels and a guide picture were both given; leave one out")
        return Channels(layers[0], _numbers(backbone, layers[0], options.channels, "channel"))
    if guides and _HEAD in layers:
        raise SettingsError(f"a guide picture needs layers with positions, and {_HEAD!r} has none; choose another")
    with torch.no_grad():
        energies = _energies(backbone, layers, photo, options.tile)
        if guides:
            seen = [(share, _features(backbone, layers, picture, options.tile)) for share, picture in guides]
            return Guide(layers, energies, seen)
    return Layers(layers, energies)


def _energies(backbone: Backbone, layers: Sequence[str], picture: Tensor, tile: int | None) -> dict[str, Tensor]:
    """Return the mean square of each layer's features."""
    height, width = picture.shape[-2:]
    if tile is None or max(height, width) <= tile:
        features = backbone(picture, layers)
        return {name: _wide(features[name]).square().mean() for name in layers}
    tiling = Tiling(backbone, layers, height, width, tile=tile)
    sides = tiling.sides()
    totals = tiling.collect(picture, lambda _, features: [_wide(features[name]).square().sum() for name in layers])
    counts = [backbone.layers[name].channels * sides[name][0] * sides[name][1] for name in layers]
    means = [total / count for total, count in zip(totals, counts, strict=True)]
    return {name: mean.to(picture.dtype) for name, mean in zip(layers, means, strict=True)}


def _features(backbone: Backbone, layers: Sequence[str], picture: Tensor, tile: int | None) -> dict[str, Tensor]:
    height, width = picture.shape[-2:]
    if tile is None or max(height, width) <= tile:
        return backbone(picture, layers)
    tiling = Tiling(backbone, layers, height, width, tile=tile)
    sides, whole = tiling.sides(), dict[str, Tensor]()
    for part in tiling.tiles:
        for name, values in tiling.features(picture, part).items():
            if name not in whole:
                whole[name] = values.new_zeros(*values.shape[:2], *sides[name])
            rows, columns = tiling.cells(name, part)
            whole[name][:, :, rows, columns] = values
    return whole


def _numbers(backbone: Backbone, layer: str, numbers: Sequence[int], what: str) -> Sequence[int]:
    count = backbone.layers[layer].channels
    for number in numbers:
        if number >= count:
            raise SettingsError(f"layer {layer!r} of {type(backbone).__name__} has no {what} {number}; it has {count}")
    return numbers


def _mean(values: Tensor, name: str, positions: Mapping[str, int] | None) -> Tensor:
    """Return the mean of `[1, C, h, w]` or `[positions]`, or what a tile adds to that of the whole picture."""
    if positions is None:
        return values.mean()
    return values.sum() / (positions[name] * (values.shape[1] if values.ndim == 4 else 1))


def _inverse(energy: Tensor) -> Tensor:
    return torch.where(energy > 0, energy, 1).reciprocal()


def _columns(features: Tensor) -> Tensor:
    """Return features `[1, C, h, w]` as `[C, positions]`, at most 1024 of them."""
    columns = _wide(features).flatten(2)[0]
    return columns[:, :: -(-columns.shape[1] // _MOST_POSITIONS)]


def _wide(features: Tensor) -> Tensor:
    """Return features in a type whose sums are accurate."""
    return features if features.dtype == torch.float64 else features.float()
