"""The loss of a picture at one scale, with its targets computed once.

    total = content_weight * sum_l u_l * mean (F_l - P_l)^2 / mean P_l^2
          + style_weight * sum_g s_g sum_l v_l * mean (G_lg - A_lg)^2 / mean A_lg^2
          + tv_weight * (mean of squared differences, down + across)
          + 10 * mean (distance from 0..1)^2
          + temporal_weight * mean m (x - p)^2

F and G are features and Gram matrices of the picture, P and A those of the content and the styles; u and v are the
layers' weights, each divided by their sum; g runs over the groups of styles, and s are their shares
(`perceptual.group_styles`). x is the picture, and p with the mask m is what a frame of a clip should keep
(`contract.Previous`).

The network sees every picture with a margin and shifted (`perceptual.with_margin`); the content is shifted alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ganart_gatys.config import Options
from ganart_zoo.contract import Backbone, Previous
from ganart_zoo.perceptual import (
    SHIFTS,
    UNSHIFTED,
    ContentTarget,
    GramTarget,
    Shift,
    StyleGroup,
    change_penalty,
    gram_term,
    guidance,
    guided_gram,
    range_penalty,
    total_variation,
    with_margin,
)

__all__ = ["RANGE_WEIGHT", "LayerWeights", "Losses", "Objective", "Painting", "shifts_of"]

RANGE_WEIGHT = 10.0


class LayerWeights(NamedTuple):
    """Layer names and their weights, which sum to 1 for each role."""

    style: Mapping[str, float]
    content: Mapping[str, float]


class Painting(NamedTuple):
    """A style picture at the size at which it is used, `[1, 3, h, w]`, and its region that counts, `[1, 1, h, w]`."""

    picture: Tensor
    region: Tensor | None


class Losses(NamedTuple):
    """Scalars; `total` carries the gradient."""

    total: Tensor
    content: Tensor
    style: Tensor
    variation: Tensor
    temporal: Tensor


def shifts_of(options: Options) -> tuple[Shift, ...]:
    """Return the shifts that steps take in turn: one for L-BFGS, which needs the same loss at every step."""
    return SHIFTS[: options.shifts] if options.optimizer == "adam" else (UNSHIFTED,)


class Objective:
    """The loss of a picture of one size.

    Args:
        backbone: Frozen or not: no gradient of its weights is computed.
        layers: The layers that count.
        content: `[1, 3, H, W]`.
        paintings: One for each style.
        groups: Which style goes where; regions have the size H, W.
        options: The weights and alpha.
        previous: What to keep of the frame before, of the size H, W.
    """

    def __init__(
        self,
        backbone: Backbone,
        layers: LayerWeights,
        content: Tensor,
        paintings: Sequence[Painting],
        groups: Sequence[StyleGroup],
        options: Options,
        previous: Previous | None = None,
    ) -> None:
        self._backbone = backbone
        self._content = content
        self._options = options
        self._previous = previous if options.temporal_weight else None
        self._style_layers = layers.style if options.style_weight else {}
        self._content_layers = layers.content if options.content_weight else {}
        self._asked = tuple(dict.fromkeys([*self._style_layers, *self._content_layers]))
        self._groups = groups if options.style_weight else ()
        self._style_targets = self._targets_of(paintings)
        self._content_targets: dict[Shift, dict[str, ContentTarget]] = {}
        self._guidance: dict[Shift, list[dict[str, Tensor]]] = {}
        self._copies: dict[str, list[Tensor]] = {}

    def __call__(self, picture: Tensor, shift: Shift = UNSHIFTED) -> Losses:
        """Return the losses of `picture` `[1, 3, H, W]`, which the network sees shifted.

        The content's features are kept for each shift, since there are only 16.
        """
        targets = self._content_at(shift)  # first, since the features of both would take twice the memory
        seen = self._features(picture, shift, self._asked)
        nothing = picture.new_zeros(())
        content = sum((w * targets[name].loss(seen[name]) for name, w in self._content_layers.items()), nothing)
        style = self._style_loss(seen, self._guidance_at(shift, seen), shift) if self._groups else nothing
        options = self._options
        variation = total_variation(picture)
        total = (
            options.content_weight * content
            + options.style_weight * style
            + options.tv_weight * variation
            + RANGE_WEIGHT * range_penalty(picture)
        )
        temporal = nothing if self._previous is None else change_penalty(picture, *self._previous)
        if self._previous is not None:
            total = total + options.temporal_weight * temporal
        return Losses(total, content, style, variation, temporal)

    def _style_loss(self, seen: Mapping[str, Tensor], guidance: Sequence[dict[str, Tensor]], shift: Shift) -> Tensor:
        """Return the style loss of the features of a shifted picture."""
        style_targets, features, weights = [], [], []
        for group, wanted, guides in zip(self._groups, self._style_targets, guidance, strict=True):
            for name, weight in self._style_layers.items():
                style_targets.append(wanted[name])
                features.append(seen[name] * guides[name] if guides else seen[name])
                weights.append(group.share * weight)
        return gram_term(style_targets, features, weights)

    def _features(self, picture: Tensor, shift: Shift, layers: Sequence[str]) -> dict[str, Tensor]:
        seen = with_margin(picture, shift)
        return self._backbone(seen.contiguous(memory_format=torch.channels_last), layers)

    @torch.no_grad()
    def _targets_of(self, paintings: Sequence[Painting]) -> list[dict[str, GramTarget]]:
        """Return each group's targets: the blend of its paintings' Gram matrices, for alpha < 1 with the content's."""
        if not self._groups:
            return []
        names, alpha = tuple(self._style_layers), self._options.alpha
        grams = [self._grams(painting.picture, painting.region) for painting in paintings]
        targets = []
        for group in self._groups:
            nothing = self._content.new_zeros(())
            blend = {name: sum((w * grams[index][name] for index, w in group.members), nothing) for name in names}
            if alpha < 1:
                own = self._grams(self._content, group.region)
                blend = {name: torch.lerp(own[name], blend[name], alpha) for name in names}
            targets.append({name: GramTarget(gram) for name, gram in blend.items()})
        return targets

    def _grams(self, picture: Tensor, region: Tensor | None) -> dict[str, Tensor]:
        if region is not None:
            region = with_margin(region)
        features = self._features(picture, UNSHIFTED, tuple(self._style_layers))
        return {name: guided_gram(features[name], region) for name in features}

    @torch.no_grad()
    def _content_at(self, shift: Shift) -> dict[str, ContentTarget]:
        if shift not in self._content_targets:
            names = tuple(self._content_layers)
            features = self._features(self._content, shift, names) if names else {}
            copies = {name: self._kept_copy(name, values) for name, values in features.items()}
            del features  # what targets keep would lie between them, and their memory be in pieces
            self._content_targets[shift] = {name: ContentTarget(copy) for name, copy in copies.items()}
        return self._content_targets[shift]

    @torch.no_grad()
    def _guidance_at(self, shift: Shift, seen: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Return each group's guidance by layer."""
        if shift not in self._guidance:
            self._guidance[shift] = [self._guides(group.region, shift, seen) for group in self._groups]
        return self._guidance[shift]

    def _kept_copy(self, name: str, features: Tensor) -> Tensor:
        """Return a copy of the content's features, in memory for all shifts that is allocated at once.

        Copies made one by one would come to lie between the features of steps, whose memory could then not be reused.
        """
        if name not in self._copies:
            count = min(len(shifts_of(self._options)), self._options.steps)
            last = features.is_contiguous(memory_format=torch.channels_last)
            layout = torch.channels_last if last else torch.contiguous_format
            shape = (count, *features.shape[1:])
            room = torch.empty(shape, dtype=features.dtype, device=features.device, memory_format=layout)
            self._copies[name] = list(room.split(1))
        copies = self._copies[name]
        return copies.pop().copy_(features) if copies else features.clone()

    def _guides(self, region: Tensor | None, shift: Shift, seen: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if region is None:
            return {}
        region = with_margin(region, shift)
        guides = {}
        for name in self._style_layers:
            height, width = seen[name].shape[-2:]
            guides[name] = guidance(region, (height, width)).to(seen[name].dtype)
        return guides
