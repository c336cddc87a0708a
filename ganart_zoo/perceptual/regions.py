"""Which style goes where: regions of the content paired with regions of the style pictures.

Guided Gram matrices follow Gatys, Ecker, Bethge, Hertzmann, Shechtman, "Controlling Perceptual Factors in Neural Style
Transfer", CVPR 2017, section 4, https://arxiv.org/abs/1611.07865.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo import ops
from ganart_zoo.contract.condition import Style

__all__ = ["StyleGroup", "group_maps", "group_styles", "guidance", "guided_gram"]


class StyleGroup(NamedTuple):
    """Styles that share one region, and so have one common target."""

    region: Tensor | None
    """`[1, 1, H, W]` in 0..1 over the content; None: everywhere."""
    share: float
    """Weight of the group's loss: the part of the content that belongs to it."""
    members: tuple[tuple[int, float], ...]
    """Index of each style, and its weight within the group; these weights sum to 1."""


def group_styles(styles: Sequence[Style]) -> list[StyleGroup]:
    """Return the groups of `styles` by region.

    Where regions overlap, the styles there share each pixel by weight. With w the weights divided by their sum and R
    the regions (1 for none), style k owns, of each pixel,

        w_k R_k / (sum_j w_j R_j) * min(1, sum_j R_j)

    and a group's share is the mean over the pixels, summed over its styles. Because a loss counts in proportion to its
    area, it pulls on each pixel alike, however large its region is. Without regions there is one group of share 1,
    since the sum of squared distances to several targets has the gradient of the distance to their mean.

    Args:
        styles: At least one with a weight above 0; regions all have the same size.
    """
    weights = [style.weight / sum(style.weight for style in styles) for style in styles]
    shares = _shares([style.region for style in styles], weights)
    groups: list[StyleGroup] = []
    for index, style in enumerate(styles):
        members = [i for i, other in enumerate(styles) if _same(style.region, other.region)]
        if members[0] != index:
            continue  # already in the group of an earlier style
        together = sum(weights[i] for i in members)
        if together > 0:
            inside = tuple((i, weights[i] / together) for i in members)
            groups.append(StyleGroup(style.region, sum(shares[i] for i in members), inside))
    return groups


def guidance(region: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a region `[1, 1, H, W]` averaged to a layer's `size`, scaled so that its mean square is 1."""
    small = functional.adaptive_avg_pool2d(region, size)
    return small * small.square().mean().rsqrt()


def guided_gram(features: Tensor, region: Tensor | None) -> Tensor:
    """Return the Gram matrix `[n, C, C]` of features within a region: `ops.gram_matrix` of the guided features.

    With T the region at the features' size this is `sum_p T_p^2 F_p F_p^T / (C sum_p T_p^2)`, so a region of ones
    changes nothing, and a small region counts as much as a large one.

    Args:
        features: F, `[n, C, h, w]`.
        region: `[1, 1, H, W]` in 0..1, of any size. None: everywhere.
    """
    if region is None:
        return ops.gram_matrix(features)
    height, width = features.shape[-2:]
    return ops.gram_matrix(features * guidance(region, (height, width)).to(features.dtype))


def group_maps(styles: Sequence[Style]) -> Tensor | None:
    """Return how much of each pixel belongs to each group of `group_styles`, `[groups, 1, H, W]`; None for one group
    that has it all.

    The maps add up to 1 where a region covers the pixel, and to less where none does.

    Args:
        styles: As `group_styles` takes them.
    """
    groups = group_styles(styles)
    if len(groups) == 1 and groups[0].region is None:
        return None
    weights = [style.weight / sum(style.weight for style in styles) for style in styles]
    owned = _owned([style.region for style in styles], weights)
    return torch.stack([owned[[index for index, _ in group.members]].sum(dim=0) for group in groups])


def _shares(regions: Sequence[Tensor | None], weights: Sequence[float]) -> list[float]:
    if all(region is None for region in regions):
        return list(weights)
    return _owned(regions, weights).mean((1, 2, 3)).tolist()


def _owned(regions: Sequence[Tensor | None], weights: Sequence[float]) -> Tensor:
    """Return the part of each pixel that each style owns, `[styles, 1, H, W]` on the CPU."""
    shapes = [region.shape for region in regions if region is not None]
    masks = torch.cat(
        [torch.ones(shapes[0]) if region is None else region.detach().cpu().float() for region in regions]
    )
    weighted = masks * torch.tensor(weights).view(-1, 1, 1, 1)
    total = weighted.sum(0)
    return weighted / torch.where(total > 0, total, 1) * masks.sum(0).clamp(max=1)


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or torch.equal(one, other)
