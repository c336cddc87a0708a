"""Distances between two sets of features: between fitted Gaussians, and between all moments up to the third."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError

__all__ = ["Moments", "frechet", "frechet_distance", "kernel_distance", "moments"]

_BLOCK = 2048
"""Rows of a kernel matrix held at once."""


class Moments(NamedTuple):
    """The mean and covariance of a Gaussian fitted to a set of features."""

    mean: Tensor
    """`[d]`, float64."""
    covariance: Tensor
    """`[d, d]`, float64, unbiased."""


def moments(features: Tensor) -> Moments:
    """Return the mean and covariance of features `[n, d]`.

    Raises:
        SettingsError: There are fewer than two rows.
    """
    _check(features)
    values = features.to(torch.float64)
    mean = values.mean(dim=0)
    centred = values - mean
    return Moments(mean, centred.T @ centred / (len(values) - 1))


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return the squared Fréchet (2-Wasserstein) distance of two Gaussians, `|m - m'|² + tr(C + C' - 2 (C C')^½)`.

    The estimate is biased upwards. The bias falls as the number of samples grows, and is largest when there are fewer
    samples than feature dimensions, so compare only distances computed from equal numbers of samples. Heusel et al.
    2017, https://arxiv.org/abs/1706.08500.
    """
    # (C C')^½ has the same trace as (C^½ C' C^½)^½, whose argument is symmetric and has non-negative eigenvalues.
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    shared = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp(min=0).sqrt().sum()
    squared = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * shared
    return max(0.0, float(squared))


def frechet(real: Tensor, fake: Tensor) -> float:
    """Return `frechet_distance` of the moments of features `[n, d]` and `[m, d]`."""
    return frechet_distance(moments(real), moments(fake))


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Return the unbiased squared maximum mean discrepancy of features `[n, d]` and `[m, d]`.

    The kernel is `(x·y / d + 1)³`, as in Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401, who average the same
    estimate over small random subsets. This function uses all pairs, so it has no spread to report. The result may be
    negative.
    """
    _check(a)
    _check(b)
    a, b = a.to(torch.float64), b.to(torch.float64)
    n, m = len(a), len(b)
    within = (_kernel_sum(a, a) - _kernel_diagonal(a)) / (n * (n - 1))
    within += (_kernel_sum(b, b) - _kernel_diagonal(b)) / (m * (m - 1))
    return within - 2 * _kernel_sum(a, b) / (n * m)


def _kernel_sum(a: Tensor, b: Tensor) -> float:
    return sum(
        (rows @ columns.T / a.shape[1] + 1).pow(3).sum().item()
        for rows, columns in product(torch.split(a, _BLOCK), torch.split(b, _BLOCK))
    )


def _kernel_diagonal(a: Tensor) -> float:
    return float((a.square().mean(dim=1) + 1).pow(3).sum())


def _check(features: Tensor) -> None:
    if features.ndim != 2 or len(features) < 2:
        raise SettingsError(f"features are {list(features.shape)}, expected [n, d] with n of at least 2")
