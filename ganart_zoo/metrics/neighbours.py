"""How two sets of features overlap, each set's reach estimated by balls out to its nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError

__all__ = ["density_coverage", "precision", "precision_recall", "recall"]

_BLOCK = 2048
"""Rows of a distance matrix held at once."""


def precision_recall(real: Tensor, fake: Tensor, *, k: int = 3) -> tuple[float, float]:
    """Return the share of fakes within the reach of the real ones, and of real ones within that of the fakes.

    A set's reach is the union of the closed balls around its points out to their k-th neighbours.
    Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991.

    Args:
        real: `[n, d]`.
        fake: `[m, d]`.
        k: Neighbours.

    Raises:
        SettingsError: A set has not more than k points.
    """
    return precision(real, fake, k=k), recall(real, fake, k=k)


def precision(real: Tensor, fake: Tensor, *, k: int = 3) -> float:
    """Return the share of fakes within the reach of the real ones; see `precision_recall`."""
    return _share_within(real.to(torch.float64), fake.to(torch.float64), k)


def recall(real: Tensor, fake: Tensor, *, k: int = 3) -> float:
    """Return the share of real ones within the reach of the fakes; see `precision_recall`."""
    return precision(fake, real, k=k)


def density_coverage(real: Tensor, fake: Tensor, *, k: int = 5) -> tuple[float, float]:
    """Return how many balls of real points hold a fake, over k, and the share of these balls that hold any.

    Density may exceed 1; one outlier among the real ones does not raise it as it does precision. Naeem et al. 2020,
    https://arxiv.org/abs/2002.09797. Arguments and errors as those of `precision_recall`.
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
    """Return `[n]`: the squared distance of each point to its k-th neighbour, itself not counted."""
    if len(points) <= k:
        raise SettingsError(f"{len(points)} pictures have no {k} neighbours each; give more than {k}")
    # The nearest is the point itself, at a distance of 0 or what rounding makes of it.
    return torch.cat([distances.kthvalue(k + 1, dim=1).values for distances in _squared_distances(points, points)])


def _squared_distances(rows: Tensor, columns: Tensor) -> Iterator[Tensor]:
    """Yield `[block, len(columns)]`, from the first row to the last."""
    lengths = columns.square().sum(dim=1)
    for block in torch.split(rows, _BLOCK):
        yield (block.square().sum(dim=1, keepdim=True) + lengths - 2 * block @ columns.T).clamp(min=0)
