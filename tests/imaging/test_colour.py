"""Colour conversions against scikit-image, matching against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import skimage.color
import skimage.exposure
import torch

from ganart_zoo import imaging
from ganart_zoo.contract.errors import ImageError


def random_images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def correlated_images(*shape: int, seed: int) -> torch.Tensor:
    """Pictures whose channels have unlike means, spreads and correlations."""
    mix = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 0.3
    return torch.einsum("dc,nchw->ndhw", mix, random_images(*shape, seed=seed)) + 0.4


def statistics(image: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    pixels = image.double().flatten(1).numpy()
    return pixels.mean(axis=1), np.cov(pixels, bias=True)


def test_linear_light_follows_the_standard() -> None:
    stops = torch.linspace(0, 1, 1001, dtype=torch.float64)
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in stops.tolist()]
    np.testing.assert_allclose(imaging.srgb_to_linear(stops).numpy(), linear, atol=1e-15)
    np.testing.assert_allclose(imaging.linear_to_srgb(torch.tensor(linear)).numpy(), stops.numpy(), atol=1e-6)


def test_linear_light_is_mirrored_below_zero_and_goes_on_above_one() -> None:
    values = torch.tensor([-2.0, -0.5, -0.001, 1.5, 3.0], dtype=torch.float64)
    linear = imaging.srgb_to_linear(values)
    assert torch.equal(linear, -imaging.srgb_to_linear(-values))
    torch.testing.assert_close(imaging.linear_to_srgb(linear), values)


@pytest.mark.parametrize("convert", [imaging.srgb_to_linear, imaging.linear_to_srgb])
def test_linear_light_has_finite_gradients_everywhere(convert) -> None:
    values = torch.tensor([-1.0, -0.001, 0.0, 0.001, 0.5, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(convert(values).sum(), values)
    assert torch.isfinite(gradient).all()
    inside = torch.tensor([0.001, 0.2, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(convert, inside)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_yiq_agrees_with_skimage(dtype: torch.dtype) -> None:
    images = random_images(2, 3, 4, 5).to(dtype)
    channels_last = images.permute(0, 2, 3, 1).numpy()
    yiq = imaging.rgb_to_yiq(images)
    assert yiq.dtype == dtype
    np.testing.assert_allclose(yiq.permute(0, 2, 3, 1).numpy(), skimage.color.rgb2yiq(channels_last), atol=1e-6)
    torch.testing.assert_close(imaging.yiq_to_rgb(yiq), images)


def test_grey_has_no_chrominance() -> None:
    yiq = imaging.rgb_to_yiq(torch.full((1, 3, 1, 1), 0.7, dtype=torch.float64))
    np.testing.assert_allclose(yiq.flatten().tolist(), [0.7, 0, 0], atol=1e-8)


def test_covariance_and_mean_are_matched_by_the_symmetric_map() -> None:
    images, reference = correlated_images(2, 3, 20, 30, seed=1), correlated_images(2, 3, 11, 7, seed=2)
    matched = imaging.match_covariance(images, reference)
    for image, wanted, result in zip(images, reference, matched, strict=True):
        (mean, covariance), (mean_wanted, covariance_wanted) = statistics(image), statistics(wanted)
        colour_map = scipy.linalg.sqrtm(covariance_wanted) @ np.linalg.inv(scipy.linalg.sqrtm(covariance))
        expected = colour_map @ (image.flatten(1).numpy() - mean[:, None]) + mean_wanted[:, None]
        np.testing.assert_allclose(result.flatten(1).numpy(), expected, atol=1e-9)
        np.testing.assert_allclose(statistics(result)[1], covariance_wanted, atol=1e-12)


def test_one_reference_serves_all() -> None:
    images, reference = correlated_images(3, 3, 8, 8, seed=3).float(), correlated_images(1, 3, 8, 8, seed=4).float()
    for match in (imaging.match_covariance, imaging.match_histogram):
        matched = match(images, reference)
        assert matched.dtype == torch.float32
        for row in range(3):
            torch.testing.assert_close(matched[row], match(images[row : row + 1], reference)[0])


def test_matching_on_one_channel_sets_mean_and_deviation() -> None:
    images, reference = random_images(1, 1, 9, 9), random_images(1, 1, 5, 5, seed=1) * 0.2 + 0.5
    matched = imaging.match_covariance(images, reference)
    expected = (images - images.mean()) / images.std(correction=0) * reference.std(correction=0) + reference.mean()
    torch.testing.assert_close(matched, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_picture_without_spread_gets_the_mean_and_no_noise(dtype: torch.dtype) -> None:
    reference = correlated_images(1, 3, 16, 16, seed=5).to(dtype)
    even = imaging.match_covariance(torch.full((1, 3, 4, 4), 0.3, dtype=dtype), reference)
    torch.testing.assert_close(even, reference.mean((2, 3), keepdim=True).expand(1, 3, 4, 4))
    grey = imaging.match_covariance(random_images(1, 1, 8, 8).to(dtype).expand(1, 3, 8, 8), reference)
    assert np.linalg.matrix_rank(statistics(grey[0])[1], tol=1e-10) == 1  # still along one line of colours


def test_rounding_errors_are_not_blown_up_into_colours() -> None:
    grey = random_images(1, 1, 8, 8).expand(1, 3, 8, 8)
    rounded = grey + (random_images(1, 3, 8, 8, seed=7) - 0.5) * 1e-6
    reference = correlated_images(1, 3, 16, 16, seed=5)
    difference = imaging.match_covariance(rounded, reference) - imaging.match_covariance(grey, reference)
    assert difference.abs().max() < 1e-4


def test_a_grey_reference_turns_pictures_grey() -> None:
    grey = random_images(1, 1, 8, 8, seed=6).float().expand(1, 3, 8, 8)
    matched = imaging.match_covariance(random_images(1, 3, 8, 8).float(), grey)
    assert (matched - matched.mean(1, keepdim=True)).abs().max() < 1e-5


@pytest.mark.parametrize("levels", [4, 256, 10**9], ids=["few levels", "8 bits", "all different"])
def test_histogram_agrees_with_skimage(levels: int) -> None:
    images = (random_images(2, 3, 17, 23) ** 2 * (levels - 1)).round() / (levels - 1)
    reference = (random_images(2, 3, 9, 31, seed=1) * 0.6 * (levels - 1)).round() / (levels - 1)
    matched = imaging.match_histogram(images, reference)
    for image, wanted, result in zip(images, reference, matched, strict=True):
        expected = skimage.exposure.match_histograms(image.numpy(), wanted.numpy(), channel_axis=0)
        np.testing.assert_allclose(result.numpy(), expected, atol=1e-9)


def test_histogram_of_even_pictures() -> None:
    even, varied = torch.full((1, 3, 4, 4), 0.3), random_images(1, 3, 4, 4).float()
    assert torch.equal(imaging.match_histogram(varied, even), even)
    torch.testing.assert_close(
        imaging.match_histogram(even, varied), varied.amax((2, 3), keepdim=True).expand_as(even)
    )  # one value fills every rank, up to the last


@pytest.mark.parametrize("match", [imaging.match_covariance, imaging.match_histogram])
def test_batches_that_do_not_fit(match) -> None:
    with pytest.raises(ImageError, match="2 references for 3 pictures; expected 1 or 3"):
        match(torch.zeros(3, 3, 2, 2), torch.zeros(2, 3, 2, 2))
    with pytest.raises(ImageError, match=r"colours of \[1, 3, 2, 2\] cannot be matched to \[1, 1, 2, 2\]"):
        match(torch.zeros(1, 3, 2, 2), torch.zeros(1, 1, 2, 2))
