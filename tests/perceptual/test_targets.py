"""Targets: their losses against the paper's formulas, batches, and exact losses and gradients from tiles."""

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest
import torch

from ganart_zoo import ops
from ganart_zoo.contract import SettingsError
from ganart_zoo.perceptual import ContentTarget, GramTarget, StatisticsTarget, Target, gram_term


def features_of(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def test_gram_term_is_the_papers_times_four_over_channels_squared():
    channels, positions = 5, 7 * 9
    features, target = torch.rand(2, 1, channels, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gram, target_gram = (torch.einsum("ip,jp->ij", f, f) for f in (features.flatten(2)[0], target.flatten(2)[0]))
    paper = ((gram - target_gram) ** 2).sum() / (4 * channels**2 * positions**2)
    goal = GramTarget(ops.gram_matrix(target))
    loss = gram_term([goal], [features], [1.0]) * goal.gram.square().mean()
    assert loss.item() == pytest.approx(4 / channels**2 * paper.item(), rel=1e-12)


def test_content_term_is_twice_the_papers_per_value():
    features, target = torch.rand(2, 1, 5, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    paper = ((features - target) ** 2).sum() / 2
    loss = ContentTarget(target).loss(features) * target.square().mean()
    assert loss.item() == pytest.approx(2 / features.numel() * paper.item(), rel=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_of_the_content_loss_keeps_the_layout(layout):
    features = features_of(2, 4, 6, 9, seed=1).contiguous(memory_format=layout).requires_grad_()
    target = ContentTarget(features_of(2, 4, 6, 9, seed=2))
    (gradient,) = torch.autograd.grad(target.loss(features), features)
    assert gradient.is_contiguous(memory_format=layout)


def test_a_dead_layer_gives_finite_losses():
    features = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    assert 0 < ContentTarget(torch.zeros_like(features)).loss(features) < torch.inf
    assert 0 < gram_term([GramTarget(torch.zeros(1, 3, 3))], [features], [1.0]) < torch.inf


def test_losses_of_bfloat16_features_are_float32():
    features = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(2)).bfloat16()
    assert ContentTarget(features + 1).loss(features).dtype == torch.float32
    goal = GramTarget(ops.gram_matrix(features + 1))
    assert gram_term([goal], [features], [1.0]).dtype == torch.float32


def test_statistics_loss_equals_its_formula_in_numpy():
    features, style = features_of(2, 4, 6, 5, seed=1), 2 * features_of(1, 4, 3, 7, seed=2) + 1
    target = StatisticsTarget.of(style)
    m, s = (np.asarray(f(style.numpy(), axis=(2, 3))) for f in (np.mean, np.std))
    mean, std = (np.asarray(f(features.numpy(), axis=(2, 3))) for f in (np.mean, np.std))
    rows = (np.mean((mean - m) ** 2, axis=1) + np.mean((std - s) ** 2, axis=1)) / np.mean(m**2 + s**2, axis=1)
    assert target.loss(features).item() == pytest.approx(rows.mean(), rel=1e-6)
    assert target.loss(style).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", [GramTarget, StatisticsTarget])
def test_a_batch_with_one_style_per_row_is_the_mean_of_its_rows(kind):
    features, styles = (
        features_of(3, 4, 6, 5),
        features_of(3, 4, 5, 5, seed=1) * torch.tensor([1, 3, 9]).view(3, 1, 1, 1),
    )
    alone = [kind.of(styles[i : i + 1]).loss(features[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(kind.of(styles).loss(features), torch.stack(alone).mean())


def test_gram_term_is_the_weighted_sum_of_losses():
    features = [features_of(2, 4, 6, 5), features_of(2, 3, 3, 3, seed=1)]
    targets = [GramTarget.of(features_of(1, 4, 4, 4, seed=2)), GramTarget.of(features_of(2, 3, 4, 4, seed=3))]
    expected = 0.3 * targets[0].loss(features[0]) + 0.7 * targets[1].loss(features[1])
    torch.testing.assert_close(gram_term(targets, features, [0.3, 0.7]), expected)
    with pytest.raises(SettingsError, match="2 targets, 1 features and 2 weights"):
        gram_term(targets, features[:1], [0.3, 0.7])


def content_tile(target: ContentTarget, whole: torch.Tensor, columns: slice) -> Target:
    return ContentTarget(target.features[..., columns], energy=target.features.square().mean())


def same_tile(target: Target, whole: torch.Tensor, columns: slice) -> Target:
    return target


@pytest.mark.parametrize(
    ("target", "of_tile"),
    [
        (ContentTarget(features_of(1, 4, 6, 9, seed=1)), content_tile),
        (GramTarget.of(features_of(1, 4, 5, 5, seed=1)), same_tile),
        (StatisticsTarget.of(features_of(1, 4, 5, 5, seed=1)), same_tile),
    ],
    ids=["content", "gram", "statistics"],
)
def test_tiles_give_the_loss_and_gradient_of_the_whole(target, of_tile):
    """Pass one adds up the sums of the tiles without a graph; pass two back-propagates one tile at a time."""
    whole = features_of(1, 4, 6, 9, seed=3).requires_grad_()
    expected = target.loss(whole)
    (right,) = torch.autograd.grad(expected, whole)
    tiles = [slice(0, 2), slice(2, 5), slice(5, 9)]
    with torch.no_grad():
        parts = [of_tile(target, whole, tile).sums(whole[..., tile]) for tile in tiles]
    total = functools.reduce(operator.add, parts)
    assert target.loss_of(total).item() == pytest.approx(expected.item(), rel=1e-12)
    gradient = target.gradient(total)
    for tile in tiles:
        gradient.dot(of_tile(target, whole, tile).sums(whole[..., tile])).backward()
    torch.testing.assert_close(whole.grad, right, rtol=1e-9, atol=1e-12)
