"""Smoothing: against SciPy's Gaussian, and levels of equal strength."""

from __future__ import annotations

import pytest
import torch
from ganart_deepdream.smoothing import gaussian, laplacian

from ganart_zoo.perceptual import to_pyramid


def test_gaussian_is_scipys():
    ndimage = pytest.importorskip("scipy.ndimage")
    gradient = torch.randn(2, 3, 20, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = ndimage.gaussian_filter(gradient.numpy(), (0, 0, 1.5, 1.5), mode="nearest", radius=(0, 0, 5, 5))
    torch.testing.assert_close(gaussian(gradient, 1.5), torch.from_numpy(expected))


def test_laplacian_gives_coarse_structure_the_strength_of_detail():
    """A weak wave below strong noise is as strong as the noise afterwards."""
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    wave = 0.05 * torch.sin(torch.arange(64) * 2 * torch.pi / 64).expand(1, 3, 64, 64)

    def share_of_the_wave(gradient: torch.Tensor) -> float:
        direction = wave / wave.norm()
        return float((gradient * direction).sum().abs() / gradient.norm())

    assert share_of_the_wave(laplacian(noise + wave)) > 4 * share_of_the_wave(noise + wave)


def test_rows_are_smoothed_alone_and_zeros_stay():
    pair = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 1e3]).view(
        2, 1, 1, 1
    )
    torch.testing.assert_close(laplacian(pair)[1:], laplacian(pair[1:]))
    assert torch.equal(laplacian(torch.zeros(1, 3, 32, 32)), torch.zeros(1, 3, 32, 32))
    assert len(to_pyramid(pair, 4)) == 3
