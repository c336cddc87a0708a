"""DeepDream: gradient ascent on what a network sees in a photo, from small octaves to the full size.

Mordvintsev, Olah, Tyka, "Inceptionism: Going Deeper into Neural Networks", 2015. `objective` defines what is raised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ganart_deepdream.config import Config, Options
from ganart_deepdream.objective import objective
from ganart_deepdream.smoothing import smoother
from ganart_zoo.contract import Backbone, OnStep, Rng, SettingsError, Style, StyleTransfer, generator, per_row
from ganart_zoo.imaging import resize
from ganart_zoo.imaging.tiles import Tile, largest_crop
from ganart_zoo.perceptual import (
    Descent,
    Evaluation,
    NormalizedGradient,
    Progress,
    Scale,
    Shift,
    Tiling,
    check_init,
    check_pictures,
    descend,
    fastest,
    fit_memory,
    margins,
    peak_bytes,
    reach_of,
    schedule,
    warmed,
    with_gradient,
    with_margin,
)

__all__ = ["DeepDream"]

_MARGIN = 16
"""Pixels of reflected margin on each side, so that the network's padding leaves no band along the edges."""

_HEAD = "logits"

_PICTURES = 5
"""Picture-sized tensors that exist throughout an octave: what was added, the picture, the best so far, the gradient."""
_SMOOTHED = 5
"""Picture-sized tensors that smoothing and normalising a gradient make."""


class DeepDream(StyleTransfer):
    """Dreams photos.

    Args:
        config: Precision.
        backbone: The network whose activations are raised. It is borrowed: neither trained nor changed.
    """

    def __init__(self, config: Config, *, backbone: Backbone) -> None:
        super().__init__(config)
        self.backbone = backbone
        self._compute = config.compute

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
        """Dream one photo after the other; return `[n, 3, H, W]` of the content's size, type and device, in 0..1.

        Args:
            content: `[n, 3, H, W]` in 0..1, at least 16 pixels a side.
            styles: Empty; or guide pictures, whose shares are their weights.
            init: `[n, 3, H, W]`: the picture to start from. None: the content.
            rng: For the shifts of each step. None draws them as from the seed 0.
            options: None for the defaults.
            on_step: Called with the loss `activation`, which rises, of each step.

        Raises:
            ImageError: A picture is too small, or not a picture.
            SettingsError: The guides or options do not fit, or do not fit the backbone.
            ModelError: An activation became NaN or infinite.
        """
        options = options or Options()
        check_pictures("content", content)
        check_init(init, content)
        shares = self._check_guides(styles)
        plan = schedule(
            *content.shape[-2:],
            steps=options.steps,
            scales=options.octaves,
            ratio=options.octave_ratio,
            name="octaves",
        )
        # Under a caller's inference_mode no gradient could be computed, not even with enable_grad.
        with torch.inference_mode(False), torch.no_grad():
            backbone = fastest(self.backbone, self._compute)
            if options.tile is not None and max(content.shape[-2:]) > options.tile:
                reach_of(
                    backbone, backbone.role_layers("dream", options.layers) if options.classes is None else (_HEAD,)
                )
            start = content if init is None else init
            # A tensor of a caller's inference mode cannot be part of a graph.
            photos = start.detach().to(backbone.device, backbone.picture_dtype, copy=start.is_inference())
            guides = [
                (share, style.image.detach().to(photos))
                for share, style in zip(shares, styles, strict=True)
                if share and style.image is not None
            ]
            rows = per_row(generator(0) if rng is None else rng, len(photos)) or []
            result = photos.clone() if len(photos) > 1 else photos
            progress = Progress(result, options.steps * len(photos), on_step)
            for row, source in enumerate(rows):
                progress.begin(row)
                dreamer = _Dreamer(backbone, photos[row : row + 1], guides, options, source)
                dreamt = dreamer.dream(plan, progress)
                if len(photos) > 1:
                    result[row] = dreamt[0]
                else:
                    result = dreamt  # a copy of a large picture would be in the way
                if progress.stopped:
                    break
            return result.to(content)

    def _check_guides(self, styles: Sequence[Style]) -> tuple[float, ...]:
        """Return the guides' shares."""
        for number, style in enumerate(styles, 1):
            if style.region is not None or style.source_region is not None:
                raise SettingsError(f"guide {number} has a region, but deepdream guides the whole picture")
            if style.image is not None:
                check_pictures(f"guide {number}", style.image)
                if len(style.image) != 1:
                    raise SettingsError(f"guide {number} holds {len(style.image)} pictures, expected one")
        return self.shares(styles)

    def memory(
        self, styles: Sequence[Style], *, options: Options | None = None
    ) -> Callable[[int, int, int | None], int]:
        """Return a forecast of the bytes that a call takes; see `StyleTransfer.memory`."""
        chosen, made = options or Options(), list[Backbone]()
        with torch.inference_mode(False), torch.no_grad():
            layers = _layers(self.backbone, chosen)
            network = peak_bytes(lambda: made.append(warmed(fastest(self.backbone, self._compute), layers)))
            backbone = made[0]

            def work(side: int) -> None:
                picture = torch.rand(1, 3, side, side, dtype=backbone.picture_dtype, device=backbone.device)
                with torch.enable_grad():
                    features = backbone(picture.requires_grad_(), layers)
                    value = torch.stack([one.float().square().sum() for one in features.values()]).sum()
                    torch.autograd.grad(value, picture)

            fit = fit_memory(work)
        stride = math.lcm(*(backbone.layers[name].stride for name in layers))
        most = 2 * _MARGIN + max(1, chosen.jitter) - 1

        def forecast(height: int, width: int, tile: int | None) -> int:
            picture = 3 * height * width * backbone.picture_dtype.itemsize
            seen = (height + most, width + most)
            if tile is not None and max(height, width) > tile:
                seen = largest_crop(*seen, tile=tile, halo=reach_of(backbone, layers), stride=stride)
            return network + round(_PICTURES * picture) + max(fit(*seen), round(_SMOOTHED * picture))

        return forecast


def _layers(backbone: Backbone, options: Options) -> tuple[str, ...]:
    return (_HEAD,) if options.classes is not None else backbone.role_layers("dream", options.layers)


class _Dreamer:
    """Dreams one photo `[1, 3, H, W]`."""

    def __init__(
        self,
        backbone: Backbone,
        photo: Tensor,
        guides: Sequence[tuple[float, Tensor]],
        options: Options,
        source: torch.Generator,
    ) -> None:
        self._backbone = backbone
        self._photo = photo
        self._options = options
        self._source = source
        self._objective = objective(backbone, options, photo, guides)

    def dream(self, plan: Sequence[Scale], progress: Progress) -> Tensor:
        """Return the dream, or the best so far where the caller stops it. What each octave adds is carried to the next.

        Only what was added is enlarged, and so the photo stays as sharp as it was.
        """
        added = torch.zeros_like(self._photo)
        for scale in plan:
            octave = resize(self._photo, scale[:2])
            end = self._ascend((octave + resize(added, scale[:2])).clamp(0, 1), octave, scale, progress)
            added = end.picture - octave
            if end.stopped:
                break
        return self._finished(added)

    def _ascend(self, start: Tensor, octave: Tensor, scale: Scale, progress: Progress) -> Descent:
        picture = start.clone().requires_grad_()
        period = min(max(1, self._options.jitter), *scale[:2])

        def evaluate(_: int) -> Evaluation:
            with torch.no_grad():
                picture.clamp_(0, 1)  # what lies outside could not be shown, and would grow
            activation = self._activation(picture, self._shift(period), period)
            return Evaluation(-activation, picture, {"activation": activation})

        def report(evaluation: Evaluation, _: Descent) -> bool:
            phase = f"{max(scale[:2])} px"
            return progress.step(evaluation.terms, lambda: self._finished(evaluation.picture - octave), phase)

        ascent = NormalizedGradient([picture], lr=self._options.step_size, smooth=smoother(self._options))
        return descend(ascent, evaluate, steps=scale.steps, on_step=report)

    def _activation(self, picture: Tensor, shift: Shift, period: int) -> Tensor:
        """Return what the objective makes of a picture that the network sees shifted, at once or in tiles."""
        height, width = picture.shape[-2:]
        tile, layers = self._options.tile, self._objective.layers
        if tile is None or max(height, width) <= tile:
            seen = with_margin(picture, shift, margin=_MARGIN, period=period)
            return self._objective(self._backbone(seen.contiguous(memory_format=torch.channels_last), layers))
        sides = margins(height, width, shift, margin=_MARGIN, period=period)
        tiling = Tiling(self._backbone, layers, height, width, tile=tile, margins=sides)
        positions = {name: rows * columns for name, (rows, columns) in tiling.sides().items()}
        total = picture.new_zeros((), dtype=torch.float64)

        def loss(_: Tile, features: Mapping[str, Tensor]) -> Tensor:
            nonlocal total
            value = self._objective(features, positions)
            total = total + value.detach()
            return value

        # Each objective is a sum over positions, and so its derivative needs no first run over the tiles.
        gradient = torch.zeros_like(picture, requires_grad=False)
        tiling.pull_back(picture, loss, gradient)
        return with_gradient(total.to(picture.dtype), picture, gradient)

    def _shift(self, period: int) -> Shift:
        down, across = torch.randint(period, (2,), generator=self._source).tolist()
        return Shift(down, across)

    def _finished(self, added: Tensor) -> Tensor:
        """Return the photo with what the dream added, at full size."""
        height, width = self._photo.shape[-2:]
        return (self._photo + resize(added, (height, width))).clamp(0, 1)
