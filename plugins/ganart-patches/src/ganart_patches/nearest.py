"""A picture made of the nearest patches of others, from coarse to fine, by an approximate search in both directions.

The method is that of N. Granot, B. Feinstein, A. Shocher, S. Bagon and M. Irani, "Drop the GAN: in defense of patch
nearest neighbors as single image generative models", CVPR 2022. Each patch of the picture is replaced by a patch of the
reference, and overlapping patches are averaged; this is repeated some times at each size. The patch chosen is the one
with the least `distance / (reuse + distance of that patch to its own nearest patch in the picture)`, so patches that do
not appear yet are preferred.

An exact search compares all pairs: about a teraflop a step for 256x256 pixels. Here patches are compared by their
largest principal components, exactly in small pictures. In larger ones the matches of the size before are carried over
and improved by those of neighbours and by random ones nearby, as in C. Barnes, E. Shechtman, A. Finkelstein and
D. B. Goldman, "PatchMatch", SIGGRAPH 2009, for all patches at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Generator, Tensor

from ganart_patches.config import MatchingOptions
from ganart_patches.pyramid import Level, Report, scaled
from ganart_zoo.imaging import resize

__all__ = [
    "Grid",
    "Matches",
    "Patches",
    "averaged",
    "carried",
    "exact_matches",
    "improve",
    "match_nearest",
    "principal_directions",
    "project",
]

_COMPONENTS = 24
"""Principal components that patches are compared by: 93 to 99 % of the variance of photos and paintings."""
_MOST_PAIRS = 10_000_000
"""Up to so many pairs of patches, each search is exact."""
_MOST_FIRST_PAIRS = 400_000_000
"""Up to so many, the first search is."""
_JUMPS = (1, 4)
"""Pixels to the neighbours whose matches are tried."""
_SHRINK = 3
"""The radius of the random search falls by this factor."""
_FAR = 1e4
"""The features of a patch that belongs to no reference."""


class Grid(NamedTuple):
    """The positions of patches: all of a picture, one a pixel."""

    height: int
    width: int

    @property
    def count(self) -> int:
        """How many there are."""
        return self.height * self.width


class Patches(NamedTuple):
    """The patches of a picture as rows of features."""

    features: Tensor
    """`[count, components]`."""
    grid: Grid


@dataclass(frozen=True, eq=False)
class Matches:
    """For each patch of one picture, a patch of another."""

    index: Tensor
    """int64 `[count]`: positions in the other grid, row by row."""
    distance: Tensor
    """`[count]`: squared distances of their features."""
    grid: Grid
    """Of the patches that are matched."""
    other: Grid
    """Of those they are matched to."""


def principal_directions(pictures: Sequence[Tensor], patch: int, count: int = _COMPONENTS) -> Tensor:
    """Return the principal directions of the patches of pictures `[1, 3, h, w]`, as `[count, 3, patch, patch]`."""
    rows = []
    for picture in pictures:
        stride = max(1, int((picture.shape[-2] * picture.shape[-1] / 20_000) ** 0.5))
        rows.append(F.unfold(picture, patch, stride=stride)[0].T)
    values = torch.cat(rows).double()
    values = values - values.mean(dim=0)
    _, vectors = torch.linalg.eigh(values.T @ values)
    return vectors[:, -count:].T.reshape(-1, 3, patch, patch).to(pictures[0]).contiguous()


def project(picture: Tensor, directions: Tensor) -> Patches:
    """Return the patches of `[1, 3, h, w]` as their projections on `[d, 3, p, p]`."""
    projected = F.conv2d(picture, directions)[0]
    return Patches(projected.flatten(1).T.contiguous(), Grid(projected.shape[1], projected.shape[2]))


def exact_matches(patches: Patches, others: Patches, weight: Tensor | None = None, most: int = _MOST_PAIRS) -> Matches:
    """Return the nearest of `others` for each patch.

    Args:
        patches: What is matched.
        others: What it is matched to.
        weight: `[count]` of `others`: distances are multiplied by it before they are compared.
        most: Pairs that are held in memory at a time.
    """
    found = []
    squares = others.features.square().sum(dim=1)
    for rows in patches.features.split(max(1, most // others.grid.count)):
        distance = torch.addmm(squares, rows, others.features.T, alpha=-2).add_(rows.square().sum(dim=1, keepdim=True))
        distance.clamp_(min=0)  # rounding
        found.append((distance if weight is None else distance.mul_(weight)).argmin(dim=1))
    index = torch.cat(found)
    return Matches(index, _distance(patches, others, index), patches.grid, others.grid)


def improve(
    matches: Matches, patches: Patches, others: Patches, rng: Generator | None, weight: Tensor | None = None
) -> Matches:
    """Return matches that are as good or better, by those of neighbours and by random ones around the present ones.

    Args:
        matches: Of `patches` to `others`; the distances need not be of these features.
        patches: What is matched.
        others: What it is matched to.
        rng: For the random search.
        weight: `[count]` of `others`: distances are multiplied by it before they are compared.
    """
    height, width = others.grid
    index, distance = matches.index, _distance(patches, others, matches.index)
    cost = distance if weight is None else distance * weight.index_select(0, index)
    row, column = index // width, index % width

    def consider(rows: Tensor, columns: Tensor) -> None:
        nonlocal index, distance, cost, row, column
        tried = rows.clamp_(0, height - 1).mul_(width).add_(columns.clamp_(0, width - 1))
        new = _distance(patches, others, tried)
        new_cost = new if weight is None else new * weight.index_select(0, tried)
        better = new_cost < cost
        index, distance = torch.where(better, tried, index), torch.where(better, new, distance)
        cost = torch.where(better, new_cost, cost)
        row, column = index // width, index % width

    for jump in _JUMPS:
        for down, right in ((0, jump), (0, -jump), (jump, 0), (-jump, 0)):
            moved = [
                field.view(patches.grid).roll((down, right), (0, 1)).reshape(-1) + shift
                for field, shift in ((row, down), (column, right))
            ]
            consider(*moved)
    radius = max(height, width) // 2
    while radius >= 1:
        offsets = torch.randint(-radius, radius + 1, (2, patches.grid.count), generator=rng).to(index.device)
        consider(row + offsets[0], column + offsets[1])
        radius //= _SHRINK
    return Matches(index, distance, patches.grid, others.grid)


def match_nearest(
    start: Tensor,
    references: Sequence[tuple[Tensor, float]],
    plan: Sequence[Level],
    options: MatchingOptions,
    rng: Generator | None,
    report: Report,
) -> Tensor:
    """Return a picture `[1, 3, H, W]` of the plan's last size that is made of patches of the references.

    Args:
        start: `[1, 3, h, w]`: the picture to begin with, scaled to the first size.
        references: Pictures `[1, 3, h, w]`, each with its share: distances to its patches are divided by it.
        plan: The sizes, coarsest first.
        options: Steps, patches and reuse.
        rng: For the random search; None uses torch's global generator.
        report: Called after each step with the root mean square distance of pixels; returning True ends the work with
            the picture so far.
    """
    patch = options.patch
    full = plan[-1]
    picture = start
    smaller: list[Tensor] | None = None
    forward: Matches | None = None
    backward: Matches | None = None
    for level in plan:
        picture = resize(picture, level.size)
        sources = [scaled(image, level.share, patch) for image, _ in references]
        canvas, valid = _side_by_side(sources, patch)
        directions = principal_directions(sources, patch)
        sharp = _sources(canvas, valid, directions)
        # An enlarged picture is blurred: at first it is compared with sources that are enlarged as it is.
        compared = sharp
        if smaller is not None:
            enlarged = [
                resize(image, (source.shape[-2], source.shape[-1]))
                for image, source in zip(smaller, sources, strict=True)
            ]
            compared = _sources(_side_by_side(enlarged, patch)[0], valid, directions)
        shares = _shares(references, sources, sharp.grid, patch)
        for _ in range(options.steps_each):
            patches = project(picture, directions)
            weight = shares
            if options.reuse is not None:
                backward = _search(backward, compared, patches, patch, rng)
                weight = 1 / (backward.distance + options.reuse * 3 * patch * patch)
                weight = weight if shares is None else weight * shares
            forward = _search(forward, patches, compared, patch, rng, weight)
            picture = averaged(canvas, forward, patch)
            compared = sharp
            loss = (forward.distance.mean() / (3 * patch * patch)).sqrt()
            if report(loss, picture.detach, level.long_side):
                return resize(picture, full.size)
        smaller = sources
    return picture


def _search(
    matches: Matches | None,
    patches: Patches,
    others: Patches,
    patch: int,
    rng: Generator | None,
    weight: Tensor | None = None,
) -> Matches:
    """Return matches: exact ones where there are few pairs, else better ones than those given.

    Args:
        matches: Of this or a smaller size; None: random ones.
        patches: What is matched.
        others: What it is matched to.
        patch: Side of the patches.
        rng: For the random search.
        weight: As of `improve`.
    """
    pairs = patches.grid.count * others.grid.count
    if pairs <= (_MOST_FIRST_PAIRS if matches is None else _MOST_PAIRS):
        return exact_matches(patches, others, weight)
    if matches is None:
        index = torch.randint(others.grid.count, (patches.grid.count,), generator=rng).to(patches.features.device)
        matches = Matches(index, index.new_zeros(()), patches.grid, others.grid)
    return improve(carried(matches, patches.grid, others.grid, patch), patches, others, rng, weight)


def _distance(patches: Patches, others: Patches, index: Tensor) -> Tensor:
    return (others.features.index_select(0, index) - patches.features).square_().sum(dim=1)


def _side_by_side(pictures: Sequence[Tensor], patch: int) -> tuple[Tensor, Tensor | None]:
    """Return pictures as one, and `[h, w]`: which patches of it lie in one of them. None: all."""
    if len(pictures) == 1:
        return pictures[0], None
    height = max(picture.shape[-2] for picture in pictures)
    canvas = torch.cat([F.pad(picture, (0, 0, 0, height - picture.shape[-2])) for picture in pictures], dim=-1)
    valid = torch.zeros(height - patch + 1, canvas.shape[-1] - patch + 1, dtype=torch.bool, device=canvas.device)
    left = 0
    for picture in pictures:
        valid[: picture.shape[-2] - patch + 1, left : left + picture.shape[-1] - patch + 1] = True
        left += picture.shape[-1]
    return canvas, valid


def _sources(canvas: Tensor, valid: Tensor | None, directions: Tensor) -> Patches:
    patches = project(canvas, directions)
    if valid is not None:
        patches.features[~valid.reshape(-1)] = _FAR
    return patches


def _shares(
    references: Sequence[tuple[Tensor, float]], sources: Sequence[Tensor], grid: Grid, patch: int
) -> Tensor | None:
    """Return `[count]`: what the distances to the patches of each source are multiplied by. None: 1."""
    if len(references) == 1:
        return None
    columns = torch.cat(
        [image.new_full((image.shape[-1],), 1 / share) for image, (_, share) in zip(sources, references, strict=True)]
    )
    return columns[: grid.width].expand(grid).reshape(-1)


def carried(matches: Matches, grid: Grid, other: Grid, patch: int) -> Matches:
    """Return matches of a smaller size as those of a larger one: each patch keeps its place relative to its match's."""
    if (matches.grid, matches.other) == (grid, other):
        return matches
    device = matches.index.device
    old_row, row, down = _places(matches.grid.height, grid.height, other.height, matches.other.height, patch, device)
    old_column, column, right = _places(matches.grid.width, grid.width, other.width, matches.other.width, patch, device)
    index = matches.index.view(matches.grid)[old_row][:, old_column]
    rows = (index // matches.other.width * down + row[:, None]).round().clamp(0, other.height - 1)
    columns = (index % matches.other.width * right + column).round().clamp(0, other.width - 1)
    carried = (rows.long() * other.width + columns.long()).reshape(-1)
    return Matches(carried, matches.distance.new_zeros(grid.count), grid, other)


def _places(
    old: int, new: int, other_new: int, other_old: int, patch: int, device: torch.device
) -> tuple[Tensor, Tensor, float]:
    """Return, along one axis, where a patch was, what is added to its scaled match, and the scale of matches."""
    margin, half = patch - 1, patch / 2
    scale, other_scale = (new + margin) / (old + margin), (other_new + margin) / (other_old + margin)
    centre = torch.arange(new, device=device) + half
    before = (centre / scale - half).round().clamp(0, old - 1)
    return before.long(), centre - (before + half) * scale + half * other_scale - half, other_scale


def averaged(canvas: Tensor, matches: Matches, patch: int) -> Tensor:
    """Return the picture whose patches are the matches in `canvas`, averaged where they overlap."""
    height, width = matches.grid
    whole = canvas.shape[-1]
    first = matches.index // matches.other.width * whole + matches.index % matches.other.width
    pixels = canvas[0].flatten(1).T.contiguous()
    total = pixels.new_zeros(height + patch - 1, width + patch - 1, 3)
    count = pixels.new_zeros(height + patch - 1, width + patch - 1, 1)
    for down in range(patch):
        for right in range(patch):
            place = (slice(down, down + height), slice(right, right + width))
            total[place] += pixels.index_select(0, first + (down * whole + right)).view(height, width, 3)
            count[place] += 1
    return total.div_(count).permute(2, 0, 1).unsqueeze(0).contiguous()
