"""Losses against their papers' formulas in NumPy, at float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganart_zoo.training import LOSSES

RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(0.5, 2, (6, 5)), RNG.normal(-0.5, 2, (6, 5))


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, -x)


CRITIC = {
    "non_saturating": -log_sigmoid(REAL).mean() - log_sigmoid(-FAKE).mean(),
    "hinge": np.maximum(0, 1 - REAL).mean() + np.maximum(0, 1 + FAKE).mean(),
    "wasserstein": FAKE.mean() - REAL.mean(),
    "least_squares": 0.5 * ((REAL - 1) ** 2).mean() + 0.5 * (FAKE**2).mean(),
    "rpgan": -log_sigmoid(REAL - FAKE).mean(),
}
GENERATOR = {
    "non_saturating": -log_sigmoid(FAKE).mean(),
    "hinge": -FAKE.mean(),
    "wasserstein": -FAKE.mean(),
    "least_squares": 0.5 * ((FAKE - 1) ** 2).mean(),
    "rpgan": -log_sigmoid(FAKE - REAL).mean(),
}


def test_all_losses_are_held_to_a_formula() -> None:
    assert set(LOSSES) == set(CRITIC) == set(GENERATOR)


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name: str) -> None:
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    assert float(LOSSES[name].critic(real, fake)) == pytest.approx(CRITIC[name], rel=1e-12)
    assert float(LOSSES[name].generator(real, fake)) == pytest.approx(GENERATOR[name], rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_each_side_pulls_its_own_way(name: str) -> None:
    real, fake = torch.tensor(REAL, requires_grad=True), torch.tensor(FAKE, requires_grad=True)
    up_real, up_fake = torch.autograd.grad(LOSSES[name].critic(real, fake), [real, fake])
    (generator,) = torch.autograd.grad(LOSSES[name].generator(real.detach(), fake), fake)
    if name != "least_squares":  # which pulls towards numbers, not up or down
        assert (up_real <= 0).all()
        assert (up_fake >= 0).all()
        assert (generator <= 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_only_a_relativistic_generator_looks_at_real_votes(name: str) -> None:
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    moved = float(LOSSES[name].generator(real + 1, fake)) != float(LOSSES[name].generator(real, fake))
    assert moved == LOSSES[name].relativistic


@pytest.mark.parametrize("name", LOSSES)
def test_decisions_are_positive_where_the_critic_is_right(name: str) -> None:
    real, fake = torch.full((2, 1), 3.0), torch.full((2, 1), -3.0)
    assert (LOSSES[name].decision(real, fake) > 0).all()
    assert (LOSSES[name].decision(fake, real) < 0).all()
