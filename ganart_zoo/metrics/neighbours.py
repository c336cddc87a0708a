"""The overlap of two sets of features, whose supports are estimated by balls that reach to nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError

__all__ = ["density_coverage", "precision", "precision_recall", "recall"]

_BLOCK = 2048
"""Rows of a distance matrix held at once."""


def precision_recall(real: Tensor, fake: Tensor, *, k: int = 3) -> tuple[float, float]:
    """Return precision, the share of fakes within the support of the real set, and recall, the same with sets swapped.

    The support of a set is the union of the closed balls around its points that reach to their k-th neighbours.
    Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991.

    Args:
        real: `[n, d]`.
        fake: `[m, d]`.
        k: The neighbour that sets the radius of a ball.

    Raises:
        SettingsError: A set has k points or fewer.
    """
    return precision(real, fake, k=k), recall(real, fake, k=k)


def precision(real: Tensor, fake: Tensor, *, k: int = 3) -> float:
    """Return the share of fakes within the reach of the real ones; see `precision_recall`."""
    return _share_within(real.to(torch.float64), fake.to(torch.float64), k)


def recall(real: Tensor, fake: Tensor, *, k: int = 3) -> float:
    """Return the share of real ones within the reach of the fakes; see `precision_recall`."""
    return precision(fake, real, k=k)


def density_coverage(real: Tensor, fake: Tensor, *, k: int = 5) -> tuple[float, float]:
    """Return density, the mean number of real balls that contain a fake divided by k, and coverage.

    Coverage is the share of real balls that contain at least one fake. Density may exceed 1, and one outlier among the
    real points raises it less than it raises precision. Naeem et al. 2020, https://arxiv.org/abs/2002.09797. The
    arguments and errors are those of `precision_recall`.
    """
    real, fake = real.to(torch.float64), fake.to(torch.float64)
    reach = _reach(real, k)
    inside, covered = 0, torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for distances in _squared_distances(fake, real):
        within = distances <= reach
        inside += int(within.sum())
        covered |= within.any(dim=0)
    return inside / (k * len(fake)), float(covered.to(torch.float64).mean())


def _share_within(centres: Tensor, points: Tensor, k: int) -> float:
    reach = _reach(centres, k)
    return sum(int((distances <= reach).any(dim=1).sum()) for distances in _squared_distances(points, centres)) / len(
        points
    )


def _reach(points: Tensor, k: int) -> Tensor:
    """Return `[n]`: the squared distance of each point to its k-th nearest neighbour other than itself."""
    if len(points) <= k:
        raise SettingsError(f"{len(points)} pictures are too few for {k} neighbours each; pass more than {k}")
    # The nearest neighbour of a point is the point itself, at a distance of 0 up to rounding.
    return torch.cat([distances.kthvalue(k + 1, dim=1).values for distances in _squared_distances(points, points)])


def _squared_distances(rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """Yield the distance matrix in blocks `[block, len(columns)]`, from the first row to the last."""
    lengths = columns.square().sum(dim=1)
    for block in torch.split(rows, _BLOCK):
        yield (block.square().sum(dim=1, keepdim=True) + lengths - 2 * block @ columns.T).clamp(min=0)
