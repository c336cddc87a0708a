"""Nearest patches: the exact search against NumPy, the approximate one against it, and the picture they make."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from ganart_patches.measure import nearest_distance
from ganart_patches.nearest import (
    Grid,
    Matches,
    Patches,
    averaged,
    carried,
    exact_matches,
    improve,
    principal_directions,
    project,
)
from torch import Tensor

from ganart_zoo.imaging import resize


def noise(height: int, width: int, seed: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def natural(height: int, width: int, seed: int) -> Tensor:
    """Noise of all scales, as photos have it."""
    sides = [(max(2, height >> level), max(2, width >> level)) for level in range(6)]
    return sum(resize(noise(*side, seed + level), (height, width)) * 2**level for level, side in enumerate(sides)) / 63


def patches_of(picture: Tensor, side: int) -> Patches:
    height, width = picture.shape[-2:]
    return Patches(F.unfold(picture, side)[0].T.contiguous(), Grid(height - side + 1, width - side + 1))


@pytest.mark.parametrize("most", [1, 100, 10**6])
def test_the_exact_search_is_numpys(most):
    one, other = patches_of(noise(9, 11, 0), 3), patches_of(noise(12, 7, 1), 3)
    weight = 0.5 + torch.rand(other.grid.count, generator=torch.Generator().manual_seed(2))
    pairs = np.square(one.features.numpy()[:, None] - other.features.numpy()[None]).sum(2)
    found = exact_matches(one, other, weight, most=most)
    assert found.index.tolist() == (pairs * weight.numpy()).argmin(1).tolist()
    np.testing.assert_allclose(found.distance, pairs[np.arange(len(pairs)), found.index], rtol=1e-4)


def test_the_approximate_search_finds_nearly_all_that_the_exact_one_does():
    """A picture beside a moved and slightly changed copy: from random matches, after as many searches as a size has."""
    reference = natural(96, 110, 0)
    picture = reference.roll((9, -14), (2, 3)) + 0.01 * torch.randn(
        reference.shape, generator=torch.Generator().manual_seed(1)
    )
    directions = principal_directions([reference], 7)
    one, other = project(picture, directions), project(reference, directions)
    exact = exact_matches(one, other)
    rng = torch.Generator().manual_seed(2)
    start = torch.randint(other.grid.count, (one.grid.count,), generator=rng)
    found = Matches(start, torch.zeros(()), one.grid, other.grid)
    costs = []
    for _ in range(10):
        found = improve(found, one, other, rng)
        costs.append(float(found.distance.mean()))
    assert costs == sorted(costs, reverse=True)
    assert (found.index == exact.index).float().mean() > 0.9
    assert costs[-1] < 1.02 * exact.distance.mean()


def test_weights_decide_between_equal_patches():
    one, other = Patches(torch.ones(400, 2), Grid(20, 20)), Patches(torch.zeros(600, 2), Grid(20, 30))
    weight = torch.rand(600, generator=torch.Generator().manual_seed(0))
    start = torch.arange(400)
    found = improve(
        Matches(start, torch.zeros(()), one.grid, other.grid), one, other, torch.Generator().manual_seed(1), weight
    )
    assert (weight[found.index] <= weight[start]).all()
    assert weight[found.index].mean() < 0.2
    assert torch.equal(found.distance, torch.full((400,), 2.0))


def test_the_picture_is_the_mean_of_overlapping_patches():
    source, side = noise(9, 12, 0), 3
    other, grid = Grid(7, 10), Grid(6, 5)
    index = torch.randint(other.count, (grid.count,), generator=torch.Generator().manual_seed(1))
    columns = F.unfold(source, side)[:, :, index]
    size = (grid.height + side - 1, grid.width + side - 1)
    expected = F.fold(columns, size, side) / F.fold(torch.ones_like(columns), size, side)
    found = averaged(source, Matches(index, torch.zeros(()), grid, other), side)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("sizes", [((20, 31), (40, 62)), ((20, 31), (27, 41)), ((9, 9), (9, 30))])
def test_carried_matches_keep_their_places(sizes):
    """Where each patch is matched to itself, it still is in the larger size, to a pixel."""
    (height, width), (taller, wider) = sizes
    small, large = Grid(height - 6, width - 6), Grid(taller - 6, wider - 6)
    found = carried(Matches(torch.arange(small.count), torch.zeros(()), small, small), large, large, 7)
    index = torch.arange(large.count)
    assert (found.index // large.width - index // large.width).abs().max() <= 1
    assert (found.index % large.width - index % large.width).abs().max() <= 1


def test_nearest_distance_by_hand():
    flat = torch.full((1, 3, 12, 12), 0.5)
    assert nearest_distance(flat + 0.1, torch.cat([flat, flat + 0.3], dim=3)) == pytest.approx(0.1, rel=1e-4)
    assert nearest_distance(natural(20, 20, 0)[..., 3:15, 2:17], natural(20, 20, 0)) < 1e-3
