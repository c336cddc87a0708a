"""The loss of a picture whose style is compared by the distribution of features, not by their Gram matrices alone.

    style = sum_g s_g sum_l v_l * SlicedTarget(l, g).loss(F_l)

Directions are drawn anew for each of the 16 shifts, and are the same in each call. For `style_term="both"` the style
loss is the mean of this one and that of `objective`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ganart_gatys.objective import Objective, Painting
from ganart_zoo.contract.draws import key_generator
from ganart_zoo.perceptual import UNSHIFTED, GramTarget, Shift, SlicedTarget, random_directions

__all__ = ["SlicedObjective"]

_MOST_DIRECTIONS = 16


class SlicedObjective(Objective):
    """The loss of a picture of one size; arguments are those of `Objective`. Groups have no regions."""

    @torch.no_grad()
    def _targets_of(self, paintings: Sequence[Painting]) -> list[dict[str, GramTarget]]:
        names = tuple(self._style_layers)
        self._sliced: dict[Shift, list[dict[str, SlicedTarget]]] = {}
        self._painted = [self._features(one.picture, UNSHIFTED, names) for one in paintings] if names else []
        own = self._options.alpha < 1 and names
        self._own = self._features(self._content, UNSHIFTED, names) if own else {}
        return super()._targets_of(paintings) if self._options.style_term == "both" else []

    def _style_loss(self, seen: Mapping[str, Tensor], guidance: Sequence[dict[str, Tensor]], shift: Shift) -> Tensor:
        if shift not in self._sliced:
            self._sliced[shift] = self._sliced_targets(shift)
        losses = [
            group.share * weight * targets[name].loss(seen[name])
            for group, targets in zip(self._groups, self._sliced[shift], strict=True)
            for name, weight in self._style_layers.items()
        ]
        sliced = torch.stack(losses).sum()
        if self._options.style_term == "sliced":
            return sliced
        return (sliced + super()._style_loss(seen, guidance, shift)) / 2

    @torch.no_grad()
    def _sliced_targets(self, shift: Shift) -> list[dict[str, SlicedTarget]]:
        """Return each group's targets by layer."""
        alpha = self._options.alpha
        found = []
        for group in self._groups:
            targets = {}
            for name in self._style_layers:
                features = [self._painted[index][name] for index, _ in group.members]
                shares = [alpha * weight if self._own else weight for _, weight in group.members]
                if self._own:
                    features, shares = [*features, self._own[name]], [*shares, 1 - alpha]
                channels = features[0].shape[1]
                rng = key_generator("gatys sliced", name, *shift)
                directions = random_directions(min(channels, _MOST_DIRECTIONS), channels, rng)
                targets[name] = SlicedTarget.of(features, shares, directions)
            found.append(targets)
        return found
