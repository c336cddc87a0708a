"""The sliced Wasserstein term, against SciPy's distance in one dimension and by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganart_zoo.contract import SettingsError
from ganart_zoo.perceptual import SlicedTarget, match_ranks, random_directions, resample_sorted, sort_rows


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features(seed: int, height: int = 7, width: int = 9, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(1, 5, height, width, generator=seeded(seed), dtype=torch.float64).relu().to(dtype)


def test_directions_have_length_1_and_few_are_at_right_angles():
    for count in (3, 12):
        directions = random_directions(count, 8, seeded(0))
        torch.testing.assert_close(directions.norm(dim=1), torch.ones(count))
    square = random_directions(8, 8, seeded(1))
    torch.testing.assert_close(square @ square.T, torch.eye(8))
    assert torch.equal(random_directions(3, 8, seeded(2)), random_directions(3, 8, seeded(2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_ranks_are_torchs(dtype):
    values, wanted = torch.randn(4, 33, generator=seeded(0)).to(dtype), torch.randn(4, 33, generator=seeded(1))
    ordered = sort_rows(wanted)
    assert torch.equal(ordered, wanted.sort(dim=1).values)
    partners = match_ranks(values, ordered)
    assert partners.dtype == dtype
    ranks = (values[:, :, None] > values[:, None, :]).sum(dim=2)
    for row in range(4):
        if len(values[row].unique()) == 33:
            assert torch.equal(partners[row], ordered[row, ranks[row]].to(dtype))
    assert resample_sorted(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 2).tolist() == [[2.0, 4.0]]
    assert resample_sorted(torch.tensor([[1.0, 2.0]]), 4).tolist() == [[1.0, 1.0, 2.0, 2.0]]


def test_the_loss_is_the_squared_distance_of_order_statistics():
    one, other, directions = features(0), features(1), random_directions(4, 5, seeded(3)).double()
    target = SlicedTarget.of([other], [1.0], directions)
    a, b = (directions @ values[0].flatten(1) for values in (one, other))
    a, b = a.sort(dim=1).values, b.sort(dim=1).values
    torch.testing.assert_close(target.loss(one), (a - b).square().mean() / b.square().mean())
    assert float(target.loss(other)) == pytest.approx(0, abs=1e-20)
    shuffled = other.flatten(2)[:, :, torch.randperm(63, generator=seeded(4))].view_as(other)
    assert float(target.loss(shuffled)) == pytest.approx(0, abs=1e-20)


def test_it_sees_what_gram_matrices_do_not():
    """Two distributions with the same second moments."""
    from ganart_zoo.perceptual import GramTarget

    half = torch.tensor([1.0, -1.0]).repeat(50).view(1, 1, 10, 10)
    rare = torch.zeros(100)
    rare[:4] = torch.tensor([5.0, -5.0, 5.0, -5.0])
    rare = rare.view(1, 1, 10, 10)
    assert float(GramTarget.of(half).loss(rare)) == pytest.approx(0, abs=1e-6)
    assert float(SlicedTarget.of([half], [1.0], torch.ones(1, 1)).loss(rare)) > 0.5


def test_a_blend_lies_between_and_its_gradient_is_autograds():
    low, high = torch.full((1, 2, 4, 4), 1.0), torch.full((1, 2, 6, 3), 3.0)
    directions = torch.eye(2)
    blend = SlicedTarget.of([low, high], [0.75, 0.25], directions)
    assert float(blend.loss(torch.full((1, 2, 5, 5), 1.5))) == pytest.approx(0, abs=1e-6)
    # without ties, at which order and gradient are not unique
    one = torch.randn(1, 5, 4, 6, generator=seeded(5), dtype=torch.float64).requires_grad_()
    other = torch.randn(1, 5, 4, 5, generator=seeded(6), dtype=torch.float64)
    target = SlicedTarget.of([other], [1.0], random_directions(3, 5, seeded(0)))
    assert torch.autograd.gradcheck(target.loss, (one,))


def test_features_and_shares_must_pair():
    with pytest.raises(SettingsError, match="1 features and 2 shares"):
        SlicedTarget.of([features(0)], [0.5, 0.5], torch.ones(1, 5))
