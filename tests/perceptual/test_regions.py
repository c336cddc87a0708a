"""Regions: shares of the content, and guided Gram matrices."""

from __future__ import annotations

import pytest
import torch

from ganart_zoo import ops
from ganart_zoo.contract import Style
from ganart_zoo.perceptual import group_maps, group_styles, guidance, guided_gram

PICTURE = torch.zeros(1, 3, 20, 20)


def left(share: float, size: int = 20) -> torch.Tensor:
    """A region that covers this share of a square, from the left."""
    region = torch.zeros(1, 1, size, size)
    region[..., : round(share * size)] = 1
    return region


def test_styles_without_regions_are_one_group_of_share_one():
    (group,) = group_styles([Style(PICTURE, weight=3.0), Style(PICTURE, weight=1.0)])
    assert group.region is None
    assert group.share == pytest.approx(1)
    assert group.members == ((0, 0.75), (1, 0.25))


def test_disjoint_regions_share_by_area():
    groups = group_styles([Style(PICTURE, region=left(0.25)), Style(PICTURE, region=1 - left(0.25))])
    assert [group.share for group in groups] == pytest.approx([0.25, 0.75])


def test_overlapping_styles_share_each_pixel_by_weight():
    groups = group_styles([Style(PICTURE, weight=3.0, region=left(0.4)), Style(PICTURE, weight=1.0)])
    assert [group.share for group in groups] == pytest.approx([0.4 * 0.75, 0.4 * 0.25 + 0.6])


def test_a_lone_region_leaves_the_rest_unowned():
    (group,) = group_styles([Style(PICTURE, region=0.5 * left(0.2))])
    assert group.share == pytest.approx(0.5 * 0.2)


def test_equal_regions_make_one_group_and_weightless_styles_none():
    styles = [Style(PICTURE, region=left(0.5)), Style(PICTURE, weight=0.0), Style(PICTURE, region=left(0.5))]
    (group,) = group_styles(styles)
    assert group.members == ((0, 0.5), (2, 0.5))


def test_guided_gram_is_the_weighted_mean_over_the_region():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 5, 8, 6, dtype=torch.float64, generator=generator)
    region = torch.rand(1, 1, 8, 6, dtype=torch.float64, generator=generator)
    squared = region.square().flatten()
    rows = features.flatten(2)[0]
    expected = torch.einsum("p,ip,jp->ij", squared, rows, rows) / (5 * squared.sum())
    torch.testing.assert_close(guided_gram(features, region)[0], expected, rtol=1e-12, atol=0)


def test_a_region_of_ones_changes_nothing():
    features = torch.randn(1, 5, 8, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(guided_gram(features, torch.ones(1, 1, 32, 24)), ops.gram_matrix(features))


def test_guidance_of_a_binary_region_has_unit_mean_square():
    guide = guidance(left(0.25), (10, 10))
    assert guide.square().mean().item() == pytest.approx(1)
    assert guide[..., :2].min() > 0
    assert guide[..., 3:].max() == 0


def test_maps_of_groups_have_the_groups_shares_and_leave_what_no_region_covers():
    styles = [Style(PICTURE, weight=3.0, region=left(0.4)), Style(PICTURE, weight=1.0, region=left(0.8))]
    maps = group_maps(styles)
    assert maps.shape == (2, 1, 20, 20)
    assert maps.mean((1, 2, 3)).tolist() == pytest.approx([group.share for group in group_styles(styles)])
    assert maps[:, 0, 0, [0, 10, 19]].T.tolist() == [[0.75, 0.25], [0, 1], [0, 0]]
    assert group_maps([Style(PICTURE), Style(PICTURE)]) is None
