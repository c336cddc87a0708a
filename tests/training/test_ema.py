"""The moving average against its closed form, and schedules against theirs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ganart_zoo.contract import Backbone, Model
from ganart_zoo.training import MovingAverage
from ganart_zoo.training.ema import averaging_decay
from ganart_zoo.training.schedules import falling_weight, rate_factor


class Averaged(Model):
    kind = "generator"

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.register_buffer("statistic", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(0))
        self.eyes = Backbone()
        self.eyes.register_buffer("own", torch.ones(1))


def test_the_average_is_the_closed_form_sum() -> None:
    model = Averaged()
    average = MovingAverage(model)
    values, decay = [1.0, -2.0, 5.0, 0.5], 0.9
    for step, value in enumerate(values):
        model.weight.data.fill_(value)
        model.statistic.fill_(2 * value)
        model.count.fill_(step)
        average.update(decay)
    n = len(values)
    expected = sum((1 - decay) * decay ** (n - 1 - i) * value for i, value in enumerate(values))  # and 0 at first
    torch.testing.assert_close(average.model.weight.data, torch.full((3,), expected, dtype=torch.float64))
    torch.testing.assert_close(average.model.statistic, torch.full((2,), 2 * expected, dtype=torch.float64))
    assert int(average.model.count) == n - 1
    assert not average.model.weight.requires_grad


def test_the_average_follows_a_model_whose_tensors_were_replaced() -> None:
    model = Averaged()
    average = MovingAverage(model)
    model.weight.data = torch.ones(3, dtype=torch.float64)  # as `.to` does
    average.update(0.5)
    torch.testing.assert_close(average.model.weight.data, torch.full((3,), 0.5, dtype=torch.float64))


def test_what_stands_still_is_averaged_exactly() -> None:
    model = Averaged()
    model.weight.data = torch.randn(3, dtype=torch.float64)
    average = MovingAverage(model)
    for _ in range(5):
        average.update(0.37)
    assert torch.equal(average.model.weight, model.weight)


def test_borrowed_models_are_shared() -> None:
    model = Averaged()
    assert MovingAverage(model).model.eyes is model.eyes


def test_the_half_life_grows_with_the_steps_done() -> None:
    assert averaging_decay(0.999, 0.05, 0) == 0  # untrained weights count for nothing
    assert averaging_decay(0.999, 0.05, 200) ** (0.05 * 200) == pytest.approx(0.5)
    assert averaging_decay(0.999, 0.05, 10**6) == 0.999
    assert averaging_decay(0.999, 0.0, 0) == 0.999


def test_rates_rise_then_fall_to_their_share() -> None:
    def rate(step: int, curve: str) -> float:
        return rate_factor(step, 101, curve=curve, warmup=10, final=0.1)

    assert [rate(step, "linear") for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert rate(100, "linear") == pytest.approx(0.1)
    assert rate(55, "linear") == pytest.approx(0.55)
    assert rate(55, "cosine") == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert rate(100, "cosine") == pytest.approx(0.1)
    assert rate(100, "constant") == 1.0
    assert rate_factor(0, 1, curve="cosine", warmup=0, final=0.1) == 1.0


def test_a_penalty_falls_geometrically() -> None:
    assert falling_weight(4.0, 0.1, 0, 101) == 4.0
    assert falling_weight(4.0, 0.1, 50, 101) == pytest.approx(4 * math.sqrt(0.1))
    assert falling_weight(4.0, 0.1, 100, 101) == pytest.approx(0.4)
