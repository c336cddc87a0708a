"""Style transfer by optimisation: a picture with the photo's features, and the style's Gram matrices of features.

`objective` defines the loss; this module lowers it from the smallest scale to the largest. Gatys, Ecker, Bethge,
"Image style transfer using convolutional neural networks", CVPR 2016.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ganart_gatys.carrying import carry_moments
from ganart_gatys.checks import check_style_term
from ganart_gatys.config import Config, Options
from ganart_gatys.memory import forecaster
from ganart_gatys.objective import LayerWeights, Objective, Painting, shifts_of
from ganart_gatys.sizes import fitted, style_size
from ganart_gatys.sliced import SlicedObjective
from ganart_gatys.tiled import TiledObjective
from ganart_zoo.contract import Backbone, OnStep, Previous, Rng, SettingsError, Style, StyleTransfer, randn
from ganart_zoo.imaging import guided_upsample, match_covariance, match_histogram, resize, rgb_to_yiq, yiq_to_rgb
from ganart_zoo.perceptual import (
    LBFGS,
    Adam,
    Descent,
    Evaluation,
    Progress,
    Scale,
    check_init,
    check_pictures,
    check_previous,
    check_styles,
    descend,
    fastest,
    from_pyramid,
    group_styles,
    peak_bytes,
    schedule,
    to_pyramid,
    warmed,
)

__all__ = ["Gatys"]

_ENLARGED = 40
"""Values a pixel of the full size that guided upsampling holds at a time."""
_GROWTH = 3.0
"""A scale twice as large takes so many times the steps: the last one decides about the loss, and the others about what
is seen from afar, which few steps settle."""
_LAST_RATE = 0.1
"""Adam's learning rate falls to this share of itself at each scale."""


class Gatys(StyleTransfer):
    """Paints photos in the style of pictures.

    Args:
        config: Layers and precision.
        backbone: Its features define content and style. It is borrowed: neither trained nor changed.

    Raises:
        SettingsError: The backbone lacks a layer, or the number of weights differs from that of layers.
    """

    def __init__(self, config: Config, *, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self._compute = config.compute
        self._layers = LayerWeights(
            style=_layer_weights(backbone, "style", config.style_layers, config.style_layer_weights),
            content=_layer_weights(backbone, "content", config.content_layers, config.content_layer_weights),
        )

    def stylize(
        self,
        content: Tensor,
        styles: Sequence[Style],
        *,
        init: Tensor | None = None,
        previous: Previous | None = None,
        rng: Rng = None,
        options: Options | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Paint one picture after the other; return `[n, 3, H, W]` of the content's size, type and device, not clamped.

        On a CPU the result is the same bit for bit for the same inputs and number of threads. `rng` matters for
        `start="noise"` only.

        Args:
            content: `[n, 3, H, W]` in 0..1, at least 16 pixels a side.
            styles: Pictures, blended by weight; regions pair parts of the content with parts of them.
            init: `[n, 3, H, W]`: the picture to start from. None: as `options.start` says.
            previous: What was painted on the frame before, and where it counts. Each size starts from it there, and its
                change is part of the loss (Ruder, Dosovitskiy, Brox, "Artistic style transfer for videos", GCPR 2016).
            rng: For the noise to start from.
            options: None for the defaults.
            on_step: Called with the losses `total`, `content`, `style` and `variation` of each step; with `previous`
                also `temporal`.

        Raises:
            ImageError: A picture is too small, or not a picture.
            SettingsError: Styles, regions, init, previous or options do not fit together or do not fit the content.
            ModelError: The loss became NaN or infinite.
        """
        options = options or Options()
        check_pictures("content", content)
        check_styles("gatys", styles, content)
        check_style_term(styles, options)
        check_init(init, content)
        check_previous(previous, content)
        if init is not None and options.start == "noise":
            raise SettingsError("an init picture and start='noise' were both given; leave one out")
        small = fitted(_size(content), options.paint_size)
        if small != _size(content):
            resized = [replace(style, region=_resized_region(style.region, small)) for style in styles]
            painted = self.stylize(
                resize(content.detach(), small),
                resized,
                init=None if init is None else resize(init.detach(), small),
                previous=_resized_previous(previous, small, content),
                rng=rng,
                options=options.model_copy(update={"paint_size": None}),
                on_step=on_step,
            )
            return guided_upsample(painted, content.detach())
        ratio = options.scale_ratio
        growth = _GROWTH ** math.log2(ratio)
        plan = schedule(*_size(content), steps=options.steps, scales=options.scales, ratio=ratio, growth=growth)
        # Under a caller's inference_mode no gradient could be computed, not even with enable_grad.
        with torch.inference_mode(False), torch.no_grad():
            backbone = self._fastest()
            # A tensor of a caller's inference mode cannot be part of a graph.
            photos = content.detach().to(backbone.device, backbone.picture_dtype, copy=content.is_inference())
            starts = _starts(photos, init, plan[0], rng, options)
            own = [_moved(style, photos) for style in styles]
            kept = _resized_previous(previous, _size(photos), photos)
            result = photos if init is None else starts
            result = result.clone() if len(photos) > 1 else result
            progress = Progress(result, options.steps * len(photos), on_step)
            for row in range(len(photos)):
                before = None if kept is None else Previous(*(each[row : row + 1] for each in kept))
                painter = _Painter(backbone, self._layers, photos[row : row + 1], own, plan, options, before)
                progress.begin(row)
                painted = painter.paint(starts[row : row + 1], progress)
                if len(photos) > 1:
                    result[row] = painted[0]
                else:
                    result = painted  # a copy of a large picture would be in the way
                if progress.stopped:
                    break
            return result.to(content)

    def _fastest(self) -> Backbone:
        layers = tuple({**self._layers.style, **self._layers.content})
        return warmed(fastest(self.backbone, self._compute), layers)

    def memory(
        self, styles: Sequence[Style], *, options: Options | None = None
    ) -> Callable[[int, int, int | None], int]:
        """Return a forecast of the bytes that a call takes; see `StyleTransfer.memory`."""
        made: list[Backbone] = []
        with torch.inference_mode(False), torch.no_grad():
            network = peak_bytes(lambda: made.append(self._fastest()))
            groups, chosen = group_styles(styles), options or Options()
            forecast = forecaster(made[0], self._layers, groups, len(styles), chosen)

            def whole(height: int, width: int, tile: int | None) -> int:
                small = fitted((height, width), chosen.paint_size)
                enlarging = 0 if small == (height, width) else _ENLARGED * height * width * 4
                return network + max(forecast(*small, tile), enlarging)

            return whole


class _Painter:
    """Paints one photo, from the smallest scale to the largest."""

    def __init__(
        self,
        backbone: Backbone,
        layers: LayerWeights,
        photo: Tensor,
        styles: Sequence[Style],
        plan: Sequence[Scale],
        options: Options,
        previous: Previous | None,
    ) -> None:
        self._backbone = backbone
        self._layers = layers
        self._photo = photo
        self._plan = plan
        self._options = options
        self._groups = group_styles(styles)
        self._carried: tuple[Adam, list[Tensor]] | None = None
        self._content = _luminance(photo) if options.preserve_colour == "luminance" else photo
        if previous is not None and options.preserve_colour == "luminance":
            previous = previous._replace(image=_luminance(previous.image))
        self._previous = previous
        self._styles = [
            (_recoloured(style.image, photo, options.preserve_colour), style.source_region)
            for style in styles
            if style.image is not None  # as was checked
        ]

    def paint(self, start: Tensor, progress: Progress) -> Tensor:
        """Return the finished picture `[1, 3, H, W]`, or the best so far where the caller stops it."""
        picture = start
        for scale in self._plan:
            picture, *_, stopped = self._descend(resize(picture, scale[:2]), scale, progress)
            if stopped:
                break
        return self._finished(picture)

    def _descend(self, start: Tensor, scale: Scale, progress: Progress) -> Descent:
        """Lower the loss of one scale from a picture of its size."""
        options, previous = self._options, _resized_previous(self._previous, scale[:2], self._photo)
        objective = self._objective(scale, previous)
        if previous is not None:
            start = start.lerp(previous.image, previous.mask)
        levels = [level.requires_grad_() for level in to_pyramid(start)]
        del start
        optimizer = _optimizer(levels, options)
        if options.carry and isinstance(optimizer, Adam):
            if self._carried is not None:
                carry_moments(*self._carried, optimizer, levels)
            self._carried = optimizer, levels
        shifts = shifts_of(options)

        def evaluate(step: int) -> Evaluation:
            picture = from_pyramid(levels)
            losses = objective(picture, shifts[step % len(shifts)])
            terms = losses._asdict()
            if previous is None:
                del terms["temporal"]
            return Evaluation(losses.total, picture, terms)

        def report(evaluation: Evaluation, _: Descent) -> bool:
            phase = f"{max(scale[:2])} px"
            return progress.step(evaluation.terms, lambda: self._finished(evaluation.picture), phase)

        return descend(
            optimizer,
            evaluate,
            steps=scale.steps,
            last_rate=_LAST_RATE if options.optimizer == "adam" else 1.0,
            plateau=options.plateau,
            average=options.average if scale == self._plan[-1] else 0,
            on_step=report,
        )

    def _objective(self, scale: Scale, previous: Previous | None) -> Objective:
        size = scale[:2]
        paintings = []
        for picture, region in self._styles:
            wanted = style_size(_size(picture), _size(self._photo), scale, self._options.style_scale)
            paintings.append(Painting(resize(picture, wanted), _resized_region(region, wanted)))
        groups = [group._replace(region=_resized_region(group.region, size)) for group in self._groups]
        content = resize(self._content, size)
        arguments = (self._backbone, self._layers, content, paintings, groups, self._options)
        if self._options.style_term != "gram":
            return SlicedObjective(*arguments, previous)
        tile = self._options.tile
        if tile is None or max(*size, *(side for painting in paintings for side in _size(painting.picture))) <= tile:
            return Objective(*arguments, previous)
        return TiledObjective(*arguments, tile, previous)

    def _finished(self, picture: Tensor) -> Tensor:
        """Return the picture at full size and, for luminance, in the photo's colours."""
        picture = resize(picture, _size(self._photo))
        if self._options.preserve_colour != "luminance":
            return picture
        return yiq_to_rgb(torch.cat([rgb_to_yiq(picture)[:, :1], rgb_to_yiq(self._photo)[:, 1:]], dim=1))


def _optimizer(levels: list[Tensor], options: Options) -> torch.optim.Optimizer:
    if options.optimizer == "adam":
        return Adam(levels, lr=options.learning_rate or 0.01, betas=(options.beta1, options.beta2))
    return LBFGS(levels, lr=options.learning_rate or 1.0)


def _layer_weights(
    backbone: Backbone, role: str, layers: Sequence[str] | None, weights: Sequence[float] | None
) -> Mapping[str, float]:
    names = backbone.role_layers(role, layers)
    if "logits" in names:
        raise SettingsError(f"{role}_layers has 'logits', a class head without positions; choose an earlier layer")
    if len(set(names)) < len(names):
        raise SettingsError(f"{role}_layers has a layer twice: {', '.join(names)}")
    weights = weights or [1.0] * len(names)
    if len(weights) != len(names):
        raise SettingsError(
            f"{role}_layer_weights has {len(weights)} values for {len(names)} layers ({', '.join(names)})"
        )
    return {name: weight / sum(weights) for name, weight in zip(names, weights, strict=True) if weight}


def _starts(photos: Tensor, init: Tensor | None, first: Scale, rng: Rng, options: Options) -> Tensor:
    """Return the pictures to start from, at the photos' size."""
    if init is not None:
        return init.detach().to(photos)
    if options.start == "noise":
        # Noise at the size of the first scale, because finer noise would average to grey there.
        noise = randn((len(photos), 3, first.height, first.width), rng, photos.device, photos.dtype)
        return resize(0.5 + 0.2 * noise, _size(photos))
    return _luminance(photos) if options.preserve_colour == "luminance" else photos


def _moved(style: Style, like: Tensor) -> Style:
    """Return the style on the device and in the type of `like`."""
    image, region, source = (
        None if tensor is None else tensor.detach().to(like)
        for tensor in (style.image, style.region, style.source_region)
    )
    return Style(image=image, weight=style.weight, region=region, source_region=source)


def _luminance(pictures: Tensor) -> Tensor:
    """Return pictures in grey, `[n, 3, H, W]`."""
    return rgb_to_yiq(pictures)[:, :1].expand(-1, 3, -1, -1)


def _recoloured(style: Tensor, photo: Tensor, preserve_colour: str) -> Tensor:
    """Return the style picture with the colours that `preserve_colour` asks for."""
    if preserve_colour == "covariance":
        return match_covariance(style, photo).clamp(0, 1)
    if preserve_colour == "histogram":
        return match_histogram(style, photo)
    if preserve_colour == "luminance":
        grey = match_covariance(_luminance(style)[:, :1], _luminance(photo)[:, :1])
        return grey.clamp(0, 1).expand(-1, 3, -1, -1)
    return style


def _size(pictures: Tensor) -> tuple[int, int]:
    height, width = pictures.shape[-2:]
    return height, width


def _resized_region(region: Tensor | None, size: tuple[int, int]) -> Tensor | None:
    return None if region is None else resize(region, size, mode="bilinear")


def _resized_previous(previous: Previous | None, size: tuple[int, int], like: Tensor) -> Previous | None:
    """Return what to keep at another size, on the device and in the type of `like`, fit for a graph."""
    if previous is None:
        return None
    image, mask = (each.detach().to(like, copy=each.is_inference()) for each in previous)
    return Previous(resize(image, size), resize(mask, size, mode="bilinear").clamp(0, 1))
