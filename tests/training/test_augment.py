"""Augmentation: exact where it does nothing, differentiable twice where it does, and steered to its target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from ganart_zoo.training import AdaptiveProbability, Augment

KINDS = ("flip", "colour", "translation", "cutout", "affine")


def pictures(n: int = 4, side: int = 8, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=dtype)


def draws(augment: Augment, n: int = 4, seed: int = 1) -> torch.Tensor:
    return torch.rand(n, augment.columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("policy", [(kind,) for kind in KINDS] + [KINDS])
def test_probability_0_changes_nothing_and_1_does(policy: tuple[str, ...]) -> None:
    augment = Augment(policy)
    images, draw = pictures(), draws(augment)
    assert torch.equal(augment(images, draw, 0.0), images)
    changed = (augment(images, draw, 1.0) != images).flatten(1).any(dim=1)
    assert changed.sum() >= 3  # a shift may be by nothing


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_not_chosen_stays_exactly(kind: str) -> None:
    augment = Augment((kind,))
    images, draw = pictures(), draws(augment)
    draw[:, 0] = torch.tensor([0.1, 0.9, 0.2, 0.6])
    made = augment(images, draw, 0.5)
    assert torch.equal(made[[1, 3]], images[[1, 3]])
    assert not torch.equal(made[[0, 2]], images[[0, 2]])


@pytest.mark.parametrize("kind", KINDS)
def test_differentiable_twice(kind: str) -> None:
    augment = Augment((kind,))
    images = pictures(2, 4, torch.float64).requires_grad_()
    draw = draws(augment, 2)
    assert gradcheck(lambda x: augment(x, draw, 1.0), images)
    assert gradgradcheck(lambda x: augment(x, draw, 1.0).square(), images)


def test_the_same_draw_hits_a_picture_and_its_gradient() -> None:
    """A pixel that is shifted or mirrored takes its gradient back to where it came from; one cut out takes none."""
    augment = Augment(("flip", "translation", "cutout"))
    images, draw = pictures(), draws(augment)
    marks = torch.arange(images.numel(), dtype=torch.float32).view_as(images).requires_grad_()
    seen = augment(marks, draw, 1.0)
    (back,) = torch.autograd.grad(seen, marks, seen.detach())
    shown = np.isin(marks.detach().numpy(), seen.detach().numpy())
    np.testing.assert_array_equal(back.numpy(), np.where(shown, marks.detach().numpy(), 0))
    assert 0.1 < shown.mean() < 0.9


def test_translation_moves_whole_pixels_and_brings_in_grey() -> None:
    augment = Augment(("translation",))
    images = pictures(1, 8)
    made = augment(images, torch.tensor([[0.0, 0.99, 0.0]]), 1.0)  # one down, one left
    expected = np.full((1, 3, 8, 8), 0.5, np.float32)
    expected[:, :, 1:, :-1] = images.numpy()[:, :, :-1, 1:]
    np.testing.assert_array_equal(made.numpy(), expected)


def test_colour_follows_its_formula() -> None:
    augment = Augment(("colour",))
    images, (b, s, c) = pictures(1), (0.3, 0.8, 0.1)
    x = images.double().numpy() + 0.5 * (b - 0.5)
    grey = x.mean(axis=1, keepdims=True)
    x = grey + 2 * s * (x - grey)
    x = x.mean() + (c + 0.5) * (x - x.mean())
    np.testing.assert_allclose(augment(images, torch.tensor([[0.0, b, s, c]]), 1.0).numpy(), x, atol=1e-6)


def test_affine_agrees_with_grid_sample_inside_the_picture() -> None:
    augment = Augment(("affine",))
    images = pictures(1, 16)
    turn, scale, down, right = 0.8, 0.3, 0.6, 0.4
    angle, zoom = (2 * turn - 1) * np.pi / 6, 2 ** (0.4 * (2 * scale - 1))
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    dx, dy = (right - 0.5) * 16 / 4, (down - 0.5) * 16 / 4
    # in grid_sample's coordinates, -1 to 1 from edge to edge
    theta = torch.tensor([[[cos, -sin, (-cos * dx + sin * dy) / 8], [sin, cos, (-sin * dx - cos * dy) / 8]]])
    grid = torch.nn.functional.affine_grid(theta.float(), [1, 3, 16, 16], align_corners=False)
    expected = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    made = augment(images, torch.tensor([[0.0, turn, scale, down, right]]), 1.0)
    inside = (grid.abs() < 1 - 1 / 16).all(dim=-1)[0]
    assert inside.float().mean() > 0.4
    torch.testing.assert_close(made[..., inside], expected[..., inside], atol=1e-5, rtol=0)


@pytest.mark.parametrize("target", [0.3, 0.6])
def test_the_controller_settles_at_its_target(target: float) -> None:
    """A critic that overfits less the more it is disturbed: its mean sign falls evenly with the probability."""
    control = AdaptiveProbability(0.0, target, speed=10_000, interval=4)
    seen = []
    for step in range(3000):
        sign = 0.9 - 0.8 * control.probability
        if control.wants(step):
            control.correct(sign, 64)
        seen.append(sign)
    assert np.mean(seen[-400:]) == pytest.approx(target, abs=0.02)


def test_the_controller_stays_between_0_and_1() -> None:
    control = AdaptiveProbability(0.5, 0.6, speed=100, interval=1)
    control.correct(1.0, 1000)
    assert control.probability == 1.0
    control.correct(-1.0, 100_000)
    assert control.probability == 0.0
