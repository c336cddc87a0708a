"""A picture whose patches are distributed as those of others, from coarse to fine, by gradient descent.

The distance between two sets of patches is the sliced Wasserstein distance: project both on random directions and
compare the sorted projections, which in one dimension solves optimal transport. A. Elnekave and Y. Weiss, "Generating
natural images with direct patch distribution matching", ECCV 2022.

Patches lie at every position. Early steps look at positions a stride apart, from a random offset, so that they cost no
more than about 4,000 patches; the last ones look at all, for few positions leave noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Generator, Tensor

from ganart_patches.config import MatchingOptions
from ganart_patches.pyramid import Level, Report, scaled
from ganart_zoo.imaging import resize
from ganart_zoo.perceptual import Adam, match_ranks, random_directions, resample_sorted, sort_rows

__all__ = ["match_sliced", "sliced_wasserstein"]

_MOST_PATCHES = 4096
_LAST_RATE = 0.02
"""The learning rate falls to this share of itself over the steps at one size."""
_DENSE_STEPS = 0.3
"""The last share of the steps at one size looks at every position."""


def sliced_wasserstein(
    picture: Tensor, references: Sequence[tuple[Tensor, float]], directions: Tensor, *, stride: int = 1
) -> Tensor:
    """Return the sliced Wasserstein-1 distance between the patches of a picture and those of references.

    Args:
        picture: `[1, 3, H, W]`.
        references: Pictures `[1, 3, h, w]` of any size, each with its share; the shares sum to 1.
        directions: `[d, 3, p, p]`, each of length 1.
        stride: Pixels between the patches that are taken.

    Returns:
        A scalar: over directions, the mean distance between sorted projections. Its gradient for the picture moves each
        patch towards its partner, which optimal transport in one dimension finds by rank.
    """
    found = F.conv2d(picture, directions, stride=stride)[0].flatten(1)
    with torch.no_grad():
        wanted = _quantiles(references, directions, stride, found.shape[1])
        partner = match_ranks(found, wanted)
    return (found - partner).abs().mean()


def match_sliced(
    start: Tensor,
    references: Sequence[tuple[Tensor, float]],
    plan: Sequence[Level],
    options: MatchingOptions,
    rng: Generator | None,
    report: Report,
) -> Tensor:
    """Return a picture `[1, 3, H, W]` of the plan's last size with the patches of the references.

    Args:
        start: `[1, 3, h, w]`: the picture to begin with, scaled to the first size.
        references: Pictures `[1, 3, h, w]`, each with its share of the patches.
        plan: The sizes, coarsest first.
        options: Steps, patches and directions.
        rng: For directions and offsets; None uses torch's global generator.
        report: Called after each step with the distance; returning True ends the work with the picture so far.
    """
    margin, steps = options.patch - 1, options.steps_each
    picture = start
    full = plan[-1]
    for level in plan:
        sources = [(scaled(image, level.share, options.patch), share) for image, share in references]
        # The canvas is larger than the picture: pixels near its rim are in few patches and stay noise.
        inner = resize(picture, level.size)
        canvas = F.pad(inner, (margin,) * 4, mode="replicate" if min(inner.shape[-2:]) <= margin else "reflect")
        canvas = canvas.detach().clone(memory_format=torch.contiguous_format).requires_grad_(True)
        optimizer = Adam([canvas], lr=options.learning_rate)
        stride = max(1, math.ceil(math.sqrt(level.height * level.width / _MOST_PATCHES)))

        def current(canvas: Tensor = canvas) -> Tensor:
            return canvas.detach()[:, :, margin:-margin, margin:-margin]

        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = options.learning_rate * (1 - (1 - _LAST_RATE) * step / steps)
            directions = _directions(options.directions, options.patch, rng, canvas)
            apart = stride if step < (1 - _DENSE_STEPS) * steps else 1
            (top, left), *offsets = _offsets(apart, 1 + len(sources), rng)
            compared = [(image[:, :, y:, x:], share) for (image, share), (y, x) in zip(sources, offsets, strict=True)]
            with torch.enable_grad():
                loss = sliced_wasserstein(canvas[:, :, top:, left:], compared, directions, stride=apart)
            (canvas.grad,) = torch.autograd.grad(loss, canvas)
            optimizer.step()
            if report(loss.detach(), current, level.long_side):
                return resize(current(), full.size)
        picture = current()
    return picture


def _quantiles(references: Sequence[tuple[Tensor, float]], directions: Tensor, stride: int, count: int) -> Tensor:
    """Return `[d, count]`: the references' projections in order, each reference as often as its share says."""
    taken = []
    remaining, share_left = count, 1.0
    for reference, share in references:
        number = remaining if share >= share_left else round(remaining * share / share_left)
        remaining, share_left = remaining - number, share_left - share
        if number:
            values = sort_rows(F.conv2d(reference, directions, stride=stride)[0].flatten(1))
            taken.append(resample_sorted(values, number))
    return taken[0] if len(taken) == 1 else sort_rows(torch.cat(taken, dim=1))


def _directions(count: int, patch: int, rng: Generator | None, like: Tensor) -> Tensor:
    return random_directions(count, 3 * patch * patch, rng).view(count, 3, patch, patch).to(like)


def _offsets(stride: int, count: int, rng: Generator | None) -> list[tuple[int, int]]:
    """Return where the patches of each picture begin: a row and a column from 0 to `stride - 1`."""
    drawn = torch.randint(stride, (count, 2), generator=rng).tolist()
    return [(row, column) for row, column in drawn]
