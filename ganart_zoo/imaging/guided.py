"""Enlarges a small picture by the detail of a large one that shows the same: a guided filter.

K. He, J. Sun and X. Tang, "Guided image filtering", ECCV 2010; K. He and J. Sun, "Fast guided filter", 2015,
https://arxiv.org/abs/1505.00996.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.images import resize

__all__ = ["guided_upsample"]


def guided_upsample(small: Tensor, guide: Tensor, *, radius: int = 4, eps: float = 1e-3) -> Tensor:
    """Return `small` in the size of `guide`, with the guide's edges and fine detail.

    In each window of the small size, the colours of `small` are fitted as `A @ guide + b`. The coefficients are
    enlarged and applied to the guide, so edges stay as sharp as its own. What the fit leaves over is enlarged and
    added, so that nothing of the small picture is lost.

    Args:
        small: `[n, 3, h, w]`, a version of the guide: restyled, recoloured.
        guide: `[n, 3, H, W]`, at least as large.
        radius: Pixels of the small size: windows have `2 * radius + 1` a side.
        eps: Colour variances far below this count as flat: there, less of the guide's detail is added.

    Raises:
        ImageError: The numbers of pictures differ, or the guide is smaller.
    """
    if small.shape[:2] != guide.shape[:2] or any(a > b for a, b in zip(small.shape[2:], guide.shape[2:], strict=True)):
        raise ImageError(
            f"guided_upsample: {list(small.shape)} and a guide {list(guide.shape)}; expected a guide of as many "
            "pictures that is at least as large"
        )
    size = (guide.shape[-2], guide.shape[-1])
    if small.shape == guide.shape:
        return small
    below = resize(guide, (small.shape[-2], small.shape[-1]))
    matrix, offset = coefficients(small, below, radius, eps)
    matrix, offset = _mean(matrix.flatten(1, 2), radius), _mean(offset, radius)
    rest = small - _applied(matrix, offset, below)
    return _applied(_enlarged(matrix, size), _enlarged(offset, size), guide) + resize(rest, size)


def coefficients(small: Tensor, guide: Tensor, radius: int, eps: float) -> tuple[Tensor, Tensor]:
    """Return the fit of each window: A `[n, 3, 3, h, w]`, from the guide's channels to the picture's, and b.

    Args:
        small: `[n, 3, h, w]`.
        guide: `[n, 3, h, w]`.
        radius: As of `guided_upsample`.
        eps: As of `guided_upsample`.
    """
    mean_guide, mean_small = _mean(guide, radius), _mean(small, radius)
    variance = _outer(guide, guide, radius) - mean_guide[:, :, None] * mean_guide[:, None]
    covariance = _outer(guide, small, radius) - mean_guide[:, :, None] * mean_small[:, None]
    identity = torch.eye(3, dtype=small.dtype, device=small.device)
    # [n, h, w, 3, 3]: a matrix for each window
    solved = torch.linalg.solve(variance.permute(0, 3, 4, 1, 2) + eps * identity, covariance.permute(0, 3, 4, 1, 2))
    matrix = solved.permute(0, 3, 4, 1, 2)
    offset = mean_small - (matrix * mean_guide[:, :, None]).sum(dim=1)
    return matrix, offset


def _outer(one: Tensor, other: Tensor, radius: int) -> Tensor:
    """Return the mean over windows of the products of channels, `[n, 3, 3, h, w]`."""
    products = one[:, :, None] * other[:, None]
    outer: Tensor = _mean(products.flatten(1, 2), radius).unflatten(1, (3, 3))
    return outer


def _applied(matrix: Tensor, offset: Tensor, guide: Tensor) -> Tensor:
    """Return for each pixel `A^T g + b`, of `[n, 9, h, w]`, `[n, 3, h, w]` and `[n, 3, h, w]`."""
    applied: Tensor = (matrix.unflatten(1, (3, 3)) * guide[:, :, None]).sum(dim=1) + offset
    return applied


def _enlarged(values: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(values, size, mode="bilinear")


def _mean(values: Tensor, radius: int) -> Tensor:
    """Return the mean over windows, which end at the border."""
    return functional.avg_pool2d(values, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
