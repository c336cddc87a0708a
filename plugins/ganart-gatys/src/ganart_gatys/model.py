"""Style transfer by optimisation: a picture whose features are the photo's, and their Gram matrices the style's.

`objective` defines the loss and `descent` lowers it; this goes from small to large with it. Gatys, Ecker, Bethge,
"Image style transfer using convolutional neural networks", CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ganart_gatys.checks import check_content, check_init, check_styles
from ganart_gatys.config import Config, Options
from ganart_gatys.descent import descend
from ganart_gatys.objective import LayerWeights, Losses, Objective, Painting
from ganart_gatys.precision import prepared
from ganart_gatys.regions import group_styles
from ganart_gatys.schedule import Scale, schedule, style_size
from ganart_zoo.contract import Backbone, OnStep, Rng, SettingsError, StepEvent, Style, StyleTransfer, randn
from ganart_zoo.imaging import match_covariance, match_histogram, resize, rgb_to_yiq, yiq_to_rgb

__all__ = ["Gatys"]


class Gatys(StyleTransfer):
    """Paints photos in the style of pictures.

    Args:
        config: Layers and precision.
        backbone: Whose features count. It is borrowed: neither trained nor changed.

    Raises:
        SettingsError: The backbone lacks a layer, or the weights do not go with the layers.
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
        rng: Rng = None,
        options: Options | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return the pictures `[n, 3, H, W]`, one after the other, of the content's size, type and device; not clamped.

        On a CPU the result is the same bit for bit for the same inputs and number of threads. `rng` only matters for
        `start="noise"`.

        Args:
            content: `[n, 3, H, W]` in 0..1, at least 16 pixels a side.
            styles: Pictures, blended by weight; regions pair parts of the content with parts of them.
            init: `[n, 3, H, W]`: the picture to start from. None: as `options.start` says.
            rng: For the noise to start from.
            options: None for the defaults.
            on_step: Gets the losses `total`, `content`, `style` and `variation` of each step.

        Raises:
            ImageError: A picture is too small, or no picture.
            SettingsError: Styles, regions, init or options do not fit together or with the content.
            ModelError: The loss became NaN or infinite.
        """
        options = options or Options()
        check_content(content)
        check_styles(styles, content)
        check_init(init, content, options.start)
        plan = schedule(*content.shape[-2:], steps=options.steps, scales=options.scales)
        # Under a caller's inference_mode no gradient could be computed, not even with enable_grad.
        with torch.inference_mode(False), torch.no_grad():
            backbone = prepared(self.backbone, self._compute)
            photos = content.detach().to(backbone.device, backbone.picture_dtype, copy=True)
            starts = _starts(photos, init, plan[0], rng, options)
            own = [_moved(style, photos) for style in styles]
            result = photos.clone() if init is None else starts.clone()
            progress = _Progress(result, options.steps * len(photos), on_step)
            for row in range(len(photos)):
                painter = _Painter(backbone, self._layers, photos[row : row + 1], own, plan, options)
                progress.begin(row)
                result[row : row + 1] = painter.paint(starts[row : row + 1], progress)
                if progress.stopped:
                    break
            return result.to(content)


class _Progress:
    """Tells the caller of each step, and keeps whether to stop."""

    def __init__(self, result: Tensor, total: int, on_step: OnStep | None) -> None:
        self._result = result
        self._total = total
        self._on_step = on_step
        self._row = 0
        self._done = 0
        self.stopped = False

    def begin(self, row: int) -> None:
        """The next steps are of this row."""
        self._row = row

    def step(self, losses: Losses, finish: Callable[[], Tensor], size: int) -> bool:
        """Report a step; `finish` gives the row's picture as it would be returned. Returns whether to stop."""
        self._done += 1
        if self._on_step is None:
            return False

        def preview() -> Tensor:
            pictures = self._result.clone()
            pictures[self._row] = finish()[0]
            return pictures.clamp_(0, 1)

        phase = f"{size} px" if len(self._result) == 1 else f"picture {self._row + 1}, {size} px"
        values = {name: float(value) for name, value in losses._asdict().items()}
        event = StepEvent(self._done, self._total, phase, values, preview)
        self.stopped = self._on_step(event) is False
        return self.stopped


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
    ) -> None:
        self._backbone = backbone
        self._layers = layers
        self._photo = photo
        self._plan = plan
        self._options = options
        self._groups = group_styles(styles)
        self._content = _luminance(photo) if options.preserve_colour == "luminance" else photo
        self._styles = [
            (_recoloured(style.image, photo, options.preserve_colour), style.source_region) for style in styles
        ]

    def paint(self, start: Tensor, progress: _Progress) -> Tensor:
        """Return the finished picture `[1, 3, H, W]`, or the best so far where the caller stops it."""
        picture = start
        for scale in self._plan:
            objective = self._objective(scale)
            picture = resize(picture, scale[:2])

            def report(losses: Losses, current: Tensor, scale: Scale = scale) -> bool:
                return progress.step(losses, lambda: self._finished(current), max(scale[:2]))

            picture, stopped = descend(picture, objective, scale.steps, self._options, report)
            if stopped:
                break
        return self._finished(picture)

    def _objective(self, scale: Scale) -> Objective:
        size = scale[:2]
        paintings = []
        for picture, region in self._styles:
            wanted = style_size(picture.shape[-2:], self._photo.shape[-2:], scale, self._options.style_scale)
            paintings.append(Painting(resize(picture, wanted), _resized_region(region, wanted)))
        groups = [group._replace(region=_resized_region(group.region, size)) for group in self._groups]
        content = resize(self._content, size)
        return Objective(self._backbone, self._layers, content, paintings, groups, self._options)

    def _finished(self, picture: Tensor) -> Tensor:
        """The picture at full size and, for luminance, in the photo's colours."""
        picture = resize(picture, self._photo.shape[-2:])
        if self._options.preserve_colour != "luminance":
            return picture
        return yiq_to_rgb(torch.cat([rgb_to_yiq(picture)[:, :1], rgb_to_yiq(self._photo)[:, 1:]], dim=1))


def _layer_weights(
    backbone: Backbone, role: str, layers: Sequence[str] | None, weights: Sequence[float] | None
) -> Mapping[str, float]:
    names = backbone.role_layers(role, layers)
    if "logits" in names:
        raise SettingsError(f"{role}_layers has 'logits', a class head without positions; take an earlier layer")
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
        # Noise of the first scale: finer noise would be averaged to grey there.
        noise = randn((len(photos), 3, first.height, first.width), rng, photos.device, photos.dtype)
        return resize(0.5 + 0.2 * noise, photos.shape[-2:])
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
    """Return the style picture as `preserve_colour` wants it."""
    if preserve_colour == "covariance":
        return match_covariance(style, photo).clamp(0, 1)
    if preserve_colour == "histogram":
        return match_histogram(style, photo)
    if preserve_colour == "luminance":
        grey = match_covariance(_luminance(style)[:, :1], _luminance(photo)[:, :1])
        return grey.clamp(0, 1).expand(-1, 3, -1, -1)
    return style


def _resized_region(region: Tensor | None, size: tuple[int, int]) -> Tensor | None:
    return None if region is None else resize(region, size, mode="bilinear")
