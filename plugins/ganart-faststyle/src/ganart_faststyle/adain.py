"""Any picture as a style, in one pass: the photo's features take on the statistics of the style's.

X. Huang, S. Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", ICCV 2017. There
one layer is renormalised and decoded. Here several are, one for each stride of the backbone, and the decoder takes them
in one after the other, which keeps edges sharp. The decoder's own layers are normalised too; their scales and shifts
are computed from the style's statistics (G. Ghiasi et al., "Exploring the structure of a real-time, arbitrary neural
artistic stylization network", BMVC 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor, nn

from ganart_faststyle.config import AdaINConfig, AdaINOptions, Options
from ganart_faststyle.feed_forward import FeedForward, finite_tensors
from ganart_faststyle.layers import compute_layout, enlarged_conv2d, reflected_conv2d
from ganart_zoo import ops
from ganart_zoo.contract import Backbone, SettingsError, Style
from ganart_zoo.imaging import resize
from ganart_zoo.perceptual import SMALLEST_SIDE, check_styles, group_maps, group_styles

__all__ = ["AdaIN", "Statistics", "moments"]

Statistics = Mapping[str, tuple[Tensor, Tensor]]
"""Means and standard deviations, each `[n, C]`, by layer of the backbone."""

_STRIDES = (2, 4, 8)
"""Deeper layers see so far that the padding at the borders tells them where in the photo they are. A decoder that is
given them learns to paint the left side in other colours than the right."""
_SEEN = 32
"""Pixels of reflection around a photo, so that the backbone's zero padding stays outside of the picture."""
_MARGIN = 16
"""How many of them the decoder works on, whose own borders are cut off with them."""
_TINY = 1e-5
_MOST = 4.0
"""Statistics farther from those of the training styles than this, in standard deviations, count as this far."""


class StyledConv(nn.Module):
    """A 3 x 3 convolution, adaptive instance normalisation, and an activation.

    Args:
        inputs: Channels.
        outputs: Channels.
        code: Numbers that describe a style.
        doubles: Whether the result has twice the side.
    """

    def __init__(self, inputs: int, outputs: int, code: int, *, doubles: bool = False) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.affine = nn.Linear(code, 2 * outputs)
        self.doubles = doubles
        nn.init.kaiming_normal_(self.w, nonlinearity="relu")
        nn.init.normal_(self.affine.weight, std=0.01)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, code: Tensor, act: ops.Activation = "relu") -> Tensor:
        """Return `[n, outputs, H, W]`, or twice the side, in the style that `code` `[1 or n, code]` describes."""
        x = enlarged_conv2d(x, self.w) if self.doubles else reflected_conv2d(x, self.w)
        scale, shift = self.affine(code).expand(x.shape[0], -1).chunk(2, dim=1)
        return ops.instance_norm_act(x, 1 + scale, shift, act=act)


class Stage(nn.Module):
    """The decoder at one stride: takes in the features there, refines them, and enlarges them to the next stride."""

    def __init__(self, inputs: int, width: int, outputs: int, blocks: int, code: int) -> None:
        super().__init__()
        self.join = StyledConv(inputs, width, code)
        self.blocks = nn.ModuleList(
            nn.ModuleList([StyledConv(width, width, code), StyledConv(width, width, code)]) for _ in range(blocks)
        )
        self.enlarge = StyledConv(width, outputs, code, doubles=True)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Return `[n, outputs, 2 H, 2 W]`."""
        x = self.join(x, code)
        for block in self.blocks:
            first, second = cast(nn.ModuleList, block)
            x = x + second(first(x, code), code, "linear")
        enlarged: Tensor = self.enlarge(x, code)
        return enlarged


class AdaIN(FeedForward):
    """Restyles photos in the style of any pictures.

    Args:
        config: Layers and the decoder's width.
        backbone: Its features are renormalised. It is borrowed: neither trained nor changed.

    Raises:
        SettingsError: The backbone lacks a layer, or the layers do not fit together.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, config: AdaINConfig, *, backbone: Backbone) -> None:
        super().__init__(config)
        self.backbone = backbone
        self.layers = _layers(backbone, config.layers)
        channels = [backbone.layers[name].channels for name in self.layers]
        widths = config.widths[-len(self.layers) :]
        self.register_buffer("centre", torch.zeros(2 * sum(channels)))
        self.register_buffer("spread", torch.ones(2 * sum(channels)))
        self.code = nn.Linear(2 * sum(channels), config.code)
        stages, given = [], 0
        for number, (own, width) in enumerate(zip(channels, widths, strict=True)):
            following = widths[number + 1] if number + 1 < len(widths) else config.last
            blocks = config.blocks[-len(self.layers) :][number]
            stages.append(Stage(given + own, width, following, blocks, config.code))
            given = following
        self.stages = nn.ModuleList(stages)
        self.paint = nn.Conv2d(given, 3, 3)

    def forward(self, images: Tensor, shares: Statistics | None) -> Tensor:
        """Return styled pictures `[n, 3, H, W]` in 0..1.

        Args:
            images: `[n, 3, H, W]` in 0..1.
            shares: The statistics of the style, of 1 or n rows.

        Raises:
            SettingsError: There are none.
        """
        if shares is None:
            raise SettingsError("adain needs the statistics of a style")
        return self.decode(self.encode(images), shares, images)

    def one_pass(self, content: Tensor, style: Tensor | None = None) -> Tensor:
        """Return the network's pictures; see `StyleTransfer.one_pass`. Style pictures are used at their own size."""
        if style is None:
            raise SettingsError("adain needs a style picture for each photo")
        return cast(Tensor, self(content, self.statistics(style)))

    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features of photos with a margin, by layer, each side a multiple of the layer's part of it."""
        framed = compute_layout(_framed(images), self.compute_dtype)
        height, width = framed.shape[-2:]
        seen = self.backbone(framed, self.layers)
        for name, features in seen.items():
            stride = self.backbone.layers[name].stride
            size = (height // stride, width // stride)
            # a backbone that does not pad; an export has a hint for sizes, which stands for others
            if features.shape[-2:] != size and not torch.compiler.is_exporting():
                features = F.interpolate(features, size)
            spare = (_SEEN - _MARGIN) // stride
            seen[name] = features[..., spare:-spare, spare:-spare].contiguous(memory_format=torch.channels_last)
        return seen

    def decode(self, features: Mapping[str, Tensor], statistics: Statistics, like: Tensor) -> Tensor:
        """Return the pictures `[n, 3, H, W]` that features become in a style.

        Args:
            features: What `encode` returned.
            statistics: Of the style, of 1 or n rows.
            like: The photos.
        """
        code = self._code(statistics)
        x: Tensor | None = None
        for name, stage in zip(self.layers, self.stages, strict=True):
            own = features[name]
            mean, std = (values.to(own).expand(own.shape[0], -1) for values in statistics[name])
            own = ops.adain(own, mean, std)
            x = stage(own if x is None else torch.cat([x, own], dim=1), code)
        assert x is not None  # there is a layer at least
        x = ops.bias_act(reflected_conv2d(x, self.paint.weight), self.paint.bias, act="sigmoid", gain=1.0)
        height, width = like.shape[-2:]
        x = x[..., _MARGIN : _MARGIN + height, _MARGIN : _MARGIN + width]
        return x.to(self.picture_dtype, memory_format=torch.contiguous_format)

    def statistics(self, picture: Tensor, region: Tensor | None = None) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the statistics of style pictures `[n, 3, H, W]`, within a region `[1, 1, H, W]` if one is given."""
        seen = self.backbone(compute_layout(picture, self.compute_dtype), self.layers)
        return {name: moments(features, region) for name, features in seen.items()}

    def painter(self, content: Tensor, styles: Sequence[Style], options: Options) -> Callable[[Tensor], Tensor]:
        """Return what restyles one photo of the content's size.

        Styles that share a region are blended by their statistics. Where regions overlap, they share each pixel by
        weight, and what no region covers stays the photo's.

        Raises:
            ImageError: A style's picture is not a picture, or too small.
            SettingsError: The styles do not fit.
        """
        check_styles("adain", styles, content)
        scale = options.style_scale if isinstance(options, AdaINOptions) else 1.0
        own = [self._read(style, content, scale) for style in styles]
        groups = group_styles(styles)
        blends = []
        for group in groups:
            members = [(own[index], share) for index, share in group.members]
            blends.append({name: _blend([(each[name], share) for each, share in members]) for name in self.layers})
        maps = group_maps(styles)
        if maps is None:
            return lambda photo: cast(Tensor, self(photo, blends[0]))
        parts = maps.to(self.device, self.picture_dtype)

        def by_region(photo: Tensor) -> Tensor:
            features = self.encode(photo)
            picture = photo * (1 - parts.sum(dim=0, keepdim=True))
            for part, blend in zip(parts.split(1), blends, strict=True):
                picture = picture + part * self.decode(features, blend, photo)
            return picture

        return by_region

    def load_weights(self, files: Mapping[str, Path], *, device: torch.device, dtype: torch.dtype) -> None:
        """Load one file.

        Raises:
            ModelError: There is not exactly one file, its tensors do not fit, or it holds NaN.
            WeightsError: The file is damaged.
        """
        self.load_own_state(finite_tensors(files, "adain"))

    def _read(self, style: Style, content: Tensor, scale: float) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the statistics of a style picture at the size at which it is used."""
        assert style.image is not None  # as was checked
        picture = style.image.to(self.device, self.picture_dtype)
        area, wanted = (math.prod(each.shape[-2:]) for each in (picture, content))
        factor = scale * min(1.0, math.sqrt(wanted / area))
        size = tuple(max(SMALLEST_SIDE, round(side * factor)) for side in picture.shape[-2:])
        if size != tuple(picture.shape[-2:]):
            picture = resize(picture, (size[0], size[1]))
        return self.statistics(picture, None if style.source_region is None else style.source_region.to(picture))

    def _code(self, statistics: Statistics) -> Tensor:
        """Return `[n, code]`: the numbers that the decoder's layers take their scales and shifts from."""
        every = torch.cat([values for name in self.layers for values in statistics[name]], dim=1)
        relative = (every.to(self.centre) - self.centre) / self.spread
        return F.relu(self.code(relative.clamp(-_MOST, _MOST).to(self.code.weight)))


def moments(features: Tensor, region: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of each channel of `[n, C, h, w]`, each `[n, C]`.

    Args:
        features: Of any floating type; sums are float32, or float64 for float64.
        region: `[1, 1, H, W]` in 0..1: how much each pixel counts. None: all alike.
    """
    values = features if features.dtype == torch.float64 else features.float()
    if region is None:
        variance, mean = torch.var_mean(values, dim=(2, 3), correction=0)
    else:
        height, width = values.shape[-2:]
        weight = F.adaptive_avg_pool2d(region.to(values), (height, width))
        weight = weight / weight.sum()
        mean = (values * weight).sum(dim=(2, 3))
        variance = ((values - mean[..., None, None]).square() * weight).sum(dim=(2, 3))
    return mean, (variance + _TINY).sqrt()


def _layers(backbone: Backbone, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Return the layers to renormalise, the deepest first.

    Raises:
        SettingsError: They are not one for each of the strides 2, 4 and 8, or for the first of these.
    """
    chosen = {backbone.layers[name].stride: name for name in backbone.role_layers("style", layers)}
    strides = [stride for stride in _STRIDES if stride in chosen]
    if not strides or strides != list(_STRIDES[: len(strides)]) or (layers and len(layers) > len(strides)):
        raise SettingsError(
            f"adain has layers of the strides {', '.join(map(str, sorted(chosen)))}; "
            "expected one layer for each of the strides 2, 4 and 8, or for the first of these"
        )
    return tuple(chosen[stride] for stride in reversed(strides))


def _framed(images: Tensor) -> Tensor:
    """Return pictures with a margin all around, their sides multiples of the deepest stride."""
    for side in (3, 2):
        after = _SEEN + -images.shape[side] % _STRIDES[-1]
        mode = "reflect" if torch.compiler.is_exporting() or images.shape[side] > after else "replicate"
        images = F.pad(images, (_SEEN, after, 0, 0) if side == 3 else (0, 0, _SEEN, after), mode=mode)
    return images


def _blend(members: Sequence[tuple[tuple[Tensor, Tensor], float]]) -> tuple[Tensor, Tensor]:
    mean = torch.stack([mean * share for (mean, _), share in members]).sum(dim=0)
    std = torch.stack([std * share for (_, std), share in members]).sum(dim=0)
    return mean, std
