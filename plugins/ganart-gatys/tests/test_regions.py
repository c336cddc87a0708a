"""Regions: shares of the content, guided Gram matrices, and their effect on a picture."""

from __future__ import annotations

import pytest
import torch
from ganart_gatys.config import Config, Options
from ganart_gatys.model import Gatys
from ganart_gatys.regions import group_styles, guidance, guided_gram

from ganart_zoo import ops
from ganart_zoo.contract import Style

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


def test_each_region_takes_its_own_style(backbone):
    content = torch.full((1, 3, 32, 32), 0.5)
    red = torch.tensor([0.9, 0.1, 0.1]).view(1, 3, 1, 1).expand(1, 3, 24, 24)
    blue = red.flip(1)
    region = left(0.5, 32)
    result = Gatys(Config(compute="float32"), backbone=backbone).stylize(
        content,
        [Style(red, region=region), Style(blue, region=1 - region)],
        options=Options(steps=60, scales=1, content_weight=0, learning_rate=0.03),
    )
    warmth = (result[:, 0] - result[:, 2])[0]
    assert warmth[:, :12].mean() > 0.2
    assert warmth[:, 20:].mean() < -0.2


def test_a_source_region_takes_only_that_part_of_the_style(backbone):
    content = torch.full((1, 3, 32, 32), 0.5)
    halves = torch.zeros(1, 3, 24, 24)
    halves[:, 0, :, :12] = 0.9  # red left, blue right
    halves[:, 2, :, 12:] = 0.9
    options = Options(steps=60, scales=1, content_weight=0, learning_rate=0.03)
    model = Gatys(Config(compute="float32"), backbone=backbone)
    warmth = []
    for source in (left(0.4, 24), left(0.4, 24).flip(-1)):
        result = model.stylize(content, [Style(halves, source_region=source)], options=options)
        warmth.append((result[:, 0] - result[:, 2]).mean())
    assert warmth[0] > 0.2
    assert warmth[1] < -0.2
