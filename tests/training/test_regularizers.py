"""Penalties on critics and generators whose derivatives are known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from ganart_zoo.training.gan.regularizers import gradient_penalty, path_lengths, slope_penalty, vote_gradient


def pictures(seed: int, n: int = 3) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=(n, 3, 2, 2)))


def quadratic(images: torch.Tensor) -> torch.Tensor:
    """Two votes: the sum of squares, and three times the first pixel."""
    return torch.stack([images.square().sum(dim=(1, 2, 3)), 3 * images[:, 0, 0, 0]], dim=1)


def test_the_mean_vote_is_differentiated() -> None:
    images = pictures(0).requires_grad_()
    expected = images.detach().clone()  # half of 2 x
    expected[:, 0, 0, 0] += 1.5
    torch.testing.assert_close(vote_gradient(quadratic(images), images), expected)


def test_slope_penalty_is_half_the_mean_squared_slope() -> None:
    images = pictures(1).requires_grad_()
    slopes = images.detach().numpy().copy()
    slopes[:, 0, 0, 0] += 1.5
    expected = 0.5 * (slopes**2).sum(axis=(1, 2, 3)).mean()
    assert float(slope_penalty(quadratic(images), images).detach()) == pytest.approx(expected, rel=1e-12)


def test_gradient_penalty_is_taken_between_the_pictures() -> None:
    real, fake, mix = pictures(2), pictures(3), torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    share = mix.numpy().reshape(-1, 1, 1, 1)
    slopes = share * real.numpy() + (1 - share) * fake.numpy()
    slopes[:, 0, 0, 0] += 1.5
    lengths = np.sqrt((slopes**2).sum(axis=(1, 2, 3)))
    expected = ((lengths - 1) ** 2).mean()
    assert float(gradient_penalty(quadratic, real, fake, mix).detach()) == pytest.approx(expected, rel=1e-12)


def test_path_lengths_of_a_linear_generator() -> None:
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(2, 5, 12))  # layer, w, pixel values
    ws = torch.tensor(rng.normal(size=(4, 2, 5)), requires_grad=True)
    images = torch.einsum("nlw,lwp->np", ws, torch.tensor(matrix)).view(4, 3, 2, 2)
    noise = rng.normal(size=(4, 3, 2, 2))
    back = np.einsum("np,lwp->nlw", noise.reshape(4, 12) / np.sqrt(4), matrix)
    expected = np.sqrt((back**2).sum(axis=2).mean(axis=1))
    found = path_lengths(images, ws, torch.tensor(noise))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12)


def test_penalties_are_differentiable_in_the_critics_weights() -> None:
    images = pictures(5)
    real, fake, mix = pictures(6), pictures(7), torch.rand(3, dtype=torch.float64)

    def votes(weight: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return (images.flatten(1) @ weight).tanh()

    def slope(weight: torch.Tensor) -> torch.Tensor:
        shown = images.clone().requires_grad_()
        return slope_penalty(votes(weight, shown), shown)

    weight = torch.randn(12, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(slope, weight)
    assert gradcheck(lambda weight: gradient_penalty(lambda x: votes(weight, x), real, fake, mix), weight)
