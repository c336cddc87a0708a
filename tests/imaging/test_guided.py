"""Guided upsampling, against the filter's formulas in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ganart_zoo.contract import ImageError
from ganart_zoo.imaging import guided_upsample, resize


def noise(height: int, width: int, seed: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_recoloured_guide_is_restored_in_full_detail():
    """What is affine in the guide's colours is known at any size."""
    guide = noise(48, 60, 0)
    matrix, offset = noise(1, 1, 1)[0, :, 0], noise(1, 1, 2)
    turned = torch.tensor([[0.2, 0.7, 0.1], [0.5, 0.1, 0.1], [0.1, 0.2, 0.6]], dtype=torch.float64)

    def recoloured(picture: Tensor) -> Tensor:
        return torch.einsum("ij,njhw->nihw", turned, picture) + offset + 0 * matrix.sum()

    small = recoloured(resize(guide, (16, 20)))
    made = guided_upsample(small, guide, eps=1e-9)
    torch.testing.assert_close(made, recoloured(guide), rtol=0, atol=1e-4)
    blurred = resize(small, (48, 60))
    assert (blurred - recoloured(guide)).abs().mean() > 100 * (made - recoloured(guide)).abs().mean()


def test_coefficients_are_those_of_the_paper():
    """At the guide's size but one pixel the enlargement is nearly nothing; one window is fitted by NumPy here."""
    guide, small, radius, eps = noise(9, 9, 3), noise(9, 9, 4), 4, 0.01
    window = guide[0].flatten(1).numpy()  # radius 4 at the centre of 9x9: all pixels
    values = small[0].flatten(1).numpy()
    covariance = np.cov(window, values, bias=True)
    a = np.linalg.solve(covariance[:3, :3] + eps * np.eye(3), covariance[:3, 3:])
    b = values.mean(1) - a.T @ window.mean(1)
    from ganart_zoo.imaging.guided import coefficients

    matrix, offset = coefficients(small, guide, radius, eps)
    np.testing.assert_allclose(matrix[0, :, :, 4, 4], a, rtol=1e-6)
    np.testing.assert_allclose(offset[0, :, 4, 4], b, rtol=1e-6)


def test_nothing_of_the_small_picture_is_lost():
    """A flat guide has no detail to give, and an equal size changes nothing."""
    small = noise(12, 14, 5)
    torch.testing.assert_close(
        guided_upsample(small, torch.full((1, 3, 24, 28), 0.5, dtype=torch.float64)),
        resize(small, (24, 28)),
        rtol=0,
        atol=0.003,  # bilinear here, bicubic there
    )
    assert torch.equal(guided_upsample(small, noise(12, 14, 6)), small)


@pytest.mark.parametrize("guide", [noise(8, 30, 0), noise(20, 20, 0).expand(2, -1, -1, -1)])
def test_guides_that_do_not_fit_are_refused(guide):
    with pytest.raises(ImageError, match="expected a guide"):
        guided_upsample(noise(10, 10, 0), guide)
