"""The sliced Wasserstein distance, against SciPy's in one dimension."""

from __future__ import annotations

import pytest
import torch
from ganart_patches.sliced import sliced_wasserstein
from torch import Tensor
from torch.nn import functional

from ganart_zoo.perceptual import random_directions


def noise(height: int, width: int, seed: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def directions_of(count: int, like: Tensor) -> Tensor:
    return random_directions(count, 27, torch.Generator().manual_seed(2)).view(count, 3, 3, 3).to(like)


@pytest.mark.parametrize("stride", [1, 2])
def test_it_is_scipys(stride):
    stats = pytest.importorskip("scipy.stats")
    one, other = noise(12, 15, 0), noise(15, 12, 1) * 0.7
    directions = directions_of(6, one)
    projected = [functional.conv2d(image, directions, stride=stride)[0].flatten(1).numpy() for image in (one, other)]
    expected = sum(stats.wasserstein_distance(*pair) for pair in zip(*projected, strict=True)) / 6
    assert float(sliced_wasserstein(one, [(other, 1.0)], directions, stride=stride)) == pytest.approx(expected)


def test_shares_are_those_of_the_patches():
    """Of a dark and a bright reference, a picture with a quarter of bright patches is at no distance from 3 to 1."""
    dark, bright = torch.full((1, 3, 9, 9), 0.1), torch.full((1, 3, 9, 9), 0.9)
    picture = torch.cat([dark.expand(1, 3, 9, 9)] * 3 + [bright], dim=2)
    direction = torch.zeros(1, 3, 1, 1)
    direction[0, 0] = 1
    assert float(sliced_wasserstein(picture, [(dark, 0.75), (bright, 0.25)], direction)) == pytest.approx(0, abs=1e-6)
    assert float(sliced_wasserstein(picture, [(dark, 0.25), (bright, 0.75)], direction)) == pytest.approx(0.4)


def test_its_gradient_moves_patches_to_their_partners():
    one = noise(10, 10, 0).requires_grad_()
    other = noise(10, 10, 1)
    directions = directions_of(16, one)
    before = sliced_wasserstein(one, [(other, 1.0)], directions)
    (gradient,) = torch.autograd.grad(before, one)
    assert sliced_wasserstein(one - 0.5 * gradient / gradient.norm(), [(other, 1.0)], directions) < before
