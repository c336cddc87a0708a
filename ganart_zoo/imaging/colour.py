"""Colour: linear light, luminance and chrominance, and matching the colours of one picture to another's.

The conversions are elementwise or per pixel, differentiable, and never clamp, so values outside 0..1 survive a round
trip. The matching functions use statistics of whole pictures and have no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganart_zoo.contract.errors import ImageError

__all__ = [
    "linear_to_srgb",
    "match_covariance",
    "match_histogram",
    "rgb_to_yiq",
    "srgb_to_linear",
    "yiq_to_rgb",
]

# The NTSC primaries with the digits that scikit-image uses; the luminance row is that of BT.601.
_YIQ_FROM_RGB = (
    (0.299, 0.587, 0.114),
    (0.59590059, -0.27455667, -0.32134392),
    (0.21153661, -0.52273617, 0.31119955),
)


def srgb_to_linear(images: Tensor) -> Tensor:
    """Undo sRGB's transfer curve (IEC 61966-2-1), mirrored for negative values; any shape, elementwise.

    >>> srgb_to_linear(torch.tensor([0.0, 0.5, 1.0]))
    tensor([0.0000, 0.2140, 1.0000])
    """
    magnitude = images.abs()
    curve = ((magnitude + 0.055) / 1.055) ** 2.4
    return torch.where(magnitude <= 0.04045, images / 12.92, curve * images.sign())


def linear_to_srgb(images: Tensor) -> Tensor:
    """Apply sRGB's transfer curve (IEC 61966-2-1), mirrored for negative values; any shape, elementwise."""
    # Clamped, because the slope of the power is infinite at 0 and would make the gradient of the unused branch NaN.
    magnitude = images.abs().clamp(min=0.0031308)
    curve = 1.055 * magnitude ** (1 / 2.4) - 0.055
    return torch.where(images.abs() <= 0.0031308, images * 12.92, curve * images.sign())


def rgb_to_yiq(images: Tensor) -> Tensor:
    """Split sRGB [n, 3, H, W] into luminance Y, channel 0, and chrominance I and Q, channels 1 and 2 (NTSC).

    Luminance-only colour preservation keeps a result's Y and takes I and Q from the content (Gatys et al. 2016,
    "Preserving Color in Neural Artistic Style Transfer", https://arxiv.org/abs/1606.05897):

    >>> result, content = torch.rand(2, 1, 3, 4, 4)
    >>> preserved = yiq_to_rgb(torch.cat([rgb_to_yiq(result)[:, :1], rgb_to_yiq(content)[:, 1:]], dim=1))
    """
    return _mix_channels(images, torch.tensor(_YIQ_FROM_RGB, dtype=torch.float64))


def yiq_to_rgb(images: Tensor) -> Tensor:
    """Join luminance and chrominance [n, 3, H, W] to sRGB; the exact inverse of `rgb_to_yiq`."""
    return _mix_channels(images, torch.linalg.inv(torch.tensor(_YIQ_FROM_RGB, dtype=torch.float64)))


@torch.no_grad()
def match_covariance(images: Tensor, reference: Tensor) -> Tensor:
    """Give pictures the mean colour and the colour covariance of a reference, by a linear map of the colours.

    With means m and covariances C over the pixels, x becomes C_ref^½ C_img^-½ (x - m_img) + m_ref. Symmetric square
    roots are used because, unlike Cholesky factors, they do not depend on the order of the channels. In a direction in
    which a picture has no variance (for example a grey picture), none is created. For one channel, such as luminance,
    this matches mean and standard deviation.

    Source: Gatys, Bethge, Hertzmann, Shechtman 2016, "Preserving Color in Neural Artistic Style Transfer",
    https://arxiv.org/abs/1606.05897.

    Args:
        images: [n, c, H, W].
        reference: [n, c, h, w], or [1, c, h, w] for all pictures, of any size.

    Returns:
        [n, c, H, W] like `images`. Not clamped, and a strong map can exceed 0..1.

    Raises:
        ImageError: The batch sizes or channels do not match.
    """
    _check_batches(images, reference)
    # In float64, because squares are summed over large pictures and small eigenvalues are inverted.
    pixels, mean, covariance = _colour_statistics(images.double())
    _, mean_wanted, covariance_wanted = _colour_statistics(reference.double())
    colour_map = _matrix_power(covariance_wanted, 0.5) @ _matrix_power(covariance, -0.5)
    matched = colour_map @ (pixels - mean) + mean_wanted
    return matched.reshape(images.shape).to(images.dtype)


@torch.no_grad()
def match_histogram(images: Tensor, reference: Tensor) -> Tensor:
    """Give each channel of pictures the distribution of values of the same channel of a reference.

    Each value is mapped to the value of the same rank in the reference, with interpolation between ranks. Equal values
    stay equal.

    Args:
        images: [n, c, H, W].
        reference: [n, c, h, w], or [1, c, h, w] for all pictures, of any size.

    Returns:
        [n, c, H, W] like `images`, within the reference's range.

    Raises:
        ImageError: The batch sizes or channels do not match.
    """
    _check_batches(images, reference)
    matched = torch.empty_like(images)
    for row in range(len(images)):
        for channel in range(images.shape[1]):
            wanted = reference[row % len(reference), channel]
            matched[row, channel] = _match_values(images[row, channel], wanted)
    return matched


def _mix_channels(images: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("dc,nchw->ndhw", matrix.to(images), images)


def _check_batches(images: Tensor, reference: Tensor) -> None:
    if images.ndim != 4 or reference.ndim != 4 or images.shape[1] != reference.shape[1]:
        raise ImageError(
            f"colours of {list(images.shape)} cannot be matched to {list(reference.shape)}; "
            "expected [n, c, H, W] with the same channels"
        )
    if len(reference) not in (1, len(images)):
        raise ImageError(f"{len(reference)} references for {len(images)} pictures; expected 1 or {len(images)}")


def _colour_statistics(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return pixels [n, c, H·W], their mean [n, c, 1] and covariance [n, c, c]."""
    pixels = images.flatten(2)
    mean = pixels.mean(dim=2, keepdim=True)
    centred = pixels - mean
    return pixels, mean, centred @ centred.mT / pixels.shape[2]


def _matrix_power(covariance: Tensor, exponent: float) -> Tensor:
    """Return a power of symmetric positive semi-definite matrices [n, c, c]; zero eigenvalues stay zero."""
    spread, directions = torch.linalg.eigh(covariance)
    # A standard deviation below a hundredth of an 8-bit level is rounding error; inverting it would amplify noise.
    spread = torch.where(spread > (0.01 / 255) ** 2, spread**exponent, 0.0)
    power: Tensor = directions @ torch.diag_embed(spread) @ directions.mT
    return power


def _match_values(values: Tensor, wanted: Tensor) -> Tensor:
    _, level_of_pixel, counts = torch.unique(values, return_inverse=True, return_counts=True)
    wanted_levels, wanted_counts = torch.unique(wanted, return_counts=True)
    rank = counts.cumsum(0).double() / values.numel()
    wanted_rank = wanted_counts.cumsum(0).double() / wanted.numel()
    matched = _interpolate(rank, wanted_rank, wanted_levels.double())
    return matched[level_of_pixel].to(values.dtype)


def _interpolate(at: Tensor, positions: Tensor, heights: Tensor) -> Tensor:
    """Interpolate linearly between (positions, heights), and return the end values outside, like `numpy.interp`."""
    if len(positions) == 1:
        return heights.expand(len(at))
    right = torch.searchsorted(positions, at).clamp(1, len(positions) - 1)
    left = right - 1
    share = ((at - positions[left]) / (positions[right] - positions[left])).clamp(0, 1)
    return torch.lerp(heights[left], heights[right], share)
