"""Noise agrees across batch sizes, and rows across the two ways of giving generators."""

from __future__ import annotations

import pytest
import torch

from ganart_zoo.contract import SettingsError, generator, per_row, randn


@pytest.mark.parametrize("row", [(), (1,), (5,), (15,), (16,), (17,), (3, 8, 8)])
def test_rows_of_a_larger_batch_are_the_same(row: tuple[int, ...]) -> None:
    one, many = (randn((n, *row), generator(7)) for n in (1, 9))
    assert torch.equal(one, many[:1])
    assert len({float(value.sum()) for value in many}) == 9


def test_a_generator_a_row_gives_each_row_its_own_stream() -> None:
    noise = randn((3, 20), [generator(seed) for seed in (4, 5, 4)])
    assert torch.equal(noise[0], noise[2])
    assert torch.equal(noise[1], torch.randn(20, generator=generator(5)))


def test_noise_is_standard_normal() -> None:
    from scipy import stats

    assert stats.kstest(randn((40, 500), generator(1)).flatten().numpy(), "norm").pvalue > 0.01


def test_values_do_not_depend_on_the_type() -> None:
    types = (torch.float32, torch.float64, torch.bfloat16)
    single, double, brain = (randn((2, 30), generator(3), dtype=dtype) for dtype in types)
    assert (single.dtype, double.dtype, brain.dtype) == types
    assert torch.equal(single.double(), double)
    assert torch.equal(single.bfloat16(), brain)


def test_none_is_the_global_generator() -> None:
    torch.manual_seed(11)
    one = randn((2, 20))
    torch.manual_seed(11)
    assert torch.equal(one, randn((2, 20)))
    assert per_row(None, 3) is None


def test_no_rows() -> None:
    assert randn((0, 4), generator(1)).shape == (0, 4)
    assert randn((2, 0), generator(1)).shape == (2, 0)
    assert per_row(generator(1), 0) == []


def test_second_draws_agree_across_batch_sizes_only_with_a_generator_a_row() -> None:
    """What `per_row` is for: a model that draws twice from one shared generator would break this."""
    draws = []
    for n in (2, 5):
        rows = per_row(generator(9), n)
        randn((n, 20), rows)
        draws.append(randn((n, 20), rows))
    assert torch.equal(draws[0], draws[1][:2])


def test_generators_of_rows_pass_through() -> None:
    rows = [generator(1), generator(2)]
    assert per_row(rows, 2) == rows


@pytest.mark.parametrize("draw", [lambda rng, n: randn((n, 4), rng), per_row], ids=["randn", "per_row"])
def test_a_wrong_number_of_generators_is_refused(draw) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SettingsError, match="2 generators for 3 rows; give one generator, or one for each row"):
        draw([generator(1), generator(2)], 3)
