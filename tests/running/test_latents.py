"""Ways between latents: exact ends, arcs that keep their length and their pace."""

from __future__ import annotations

import pytest
import torch

from ganart_zoo.contract import generator
from ganart_zoo.running.latents import lerp, slerp

A, B = torch.randn(2, 40, 4, 4, generator=generator(0))


@pytest.mark.parametrize("way", [lerp, slerp])
def test_ends_are_exact(way) -> None:
    assert torch.equal(way(A, B, torch.zeros(40)), A)
    assert torch.equal(way(A, B, torch.ones(40)), B)


def test_a_line_is_straight() -> None:
    torch.testing.assert_close(lerp(A, B, torch.full((40,), 0.25)), 0.75 * A + 0.25 * B)


def test_an_arc_of_equal_lengths_keeps_the_length_and_an_even_pace() -> None:
    a, b = (each.flatten(1).double() for each in (A, B))
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    whole = (a * b).sum(dim=1).acos()
    for share in (0.1, 0.5, 0.9):
        middle = slerp(a, b, torch.full((40,), share))
        torch.testing.assert_close(middle.norm(dim=1), torch.ones(40, dtype=torch.float64))
        torch.testing.assert_close((a * middle).sum(dim=1).acos(), share * whole)


def test_parallel_opposite_and_zero_latents_stay_finite() -> None:
    for b in (A, 2 * A, -A, 0 * A):
        for share in (0.0, 0.3, 1.0):
            assert torch.isfinite(slerp(A, b, torch.full((40,), share))).all()
    torch.testing.assert_close(slerp(A, 2 * A, torch.full((40,), 0.5)), 1.5 * A)
