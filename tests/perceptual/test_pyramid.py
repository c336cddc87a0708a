"""A pyramid restores its picture, and passes gradients to every level."""

from __future__ import annotations

import pytest
import torch

from ganart_zoo.perceptual import from_pyramid, to_pyramid


@pytest.mark.parametrize(
    ("size", "levels"), [((7, 7), 1), ((15, 90), 1), ((16, 16), 2), ((33, 47), 3), ((342, 512), 5), ((1, 1), 1)]
)
def test_a_picture_comes_back(size, levels):
    picture = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pyramid = to_pyramid(picture)
    assert len(pyramid) == levels
    torch.testing.assert_close(from_pyramid(pyramid), picture, rtol=0, atol=1e-14)


def test_levels_do_not_share_memory_with_the_picture():
    picture = torch.zeros(1, 3, 8, 8)
    to_pyramid(picture)[0].add_(1)
    assert picture.max() == 0


def test_gradients_reach_each_level():
    levels = [level.requires_grad_() for level in to_pyramid(torch.rand(1, 3, 20, 24, dtype=torch.float64))]
    assert torch.autograd.gradcheck(lambda *parts: from_pyramid(parts), levels)
