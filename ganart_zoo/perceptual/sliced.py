"""The sliced Wasserstein distance between two sets of points: projections on directions, compared in order.

In one dimension, optimal transport pairs the k-th smallest value with the k-th smallest. Features at all positions of a
picture are such points; so are its patches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.rng import randn

__all__ = ["SlicedTarget", "match_ranks", "random_directions", "resample_sorted", "sort_rows"]


def random_directions(count: int, size: int, rng: Generator | None) -> Tensor:
    """Return `[count, size]`, float32 on the CPU: directions of length 1, uniform over the sphere.

    Where there are no more of them than `size`, they are at right angles to each other.
    """
    drawn = randn((1, count * size), rng).view(count, size)
    if count <= size:
        drawn = torch.linalg.qr(drawn.double().T).Q.T.float()
    directions: Tensor = drawn / drawn.norm(dim=1, keepdim=True)
    return directions.contiguous()


def sort_rows(values: Tensor) -> Tensor:
    """Return `[d, n]` with each row in ascending order. No gradient."""
    values = values.detach()
    # NumPy sorts with vector instructions: 1.4 ms for 65,536 float32 where torch.sort took 5.2 (AVX-512, one thread).
    if values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(np.sort(values.numpy(), axis=1))
    return values.sort(dim=1).values


def match_ranks(values: Tensor, ordered: Tensor) -> Tensor:
    """Return for each of `values` `[d, n]` its partner in `ordered` `[d, n]`, whose rows ascend: that of its rank."""
    values = values.detach()
    if values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64):
        order = torch.from_numpy(np.argsort(values.numpy(), axis=1))
    else:
        order = values.argsort(dim=1)
    return torch.empty_like(values).scatter_(1, order, ordered.to(values))


def resample_sorted(ordered: Tensor, count: int) -> Tensor:
    """Return `count` of the values of each ascending row `[d, n]`, at even ranks."""
    number = ordered.shape[1]
    if count == number:
        return ordered
    places = (torch.arange(count, device=ordered.device, dtype=torch.float64) + 0.5) * (number / count)
    return ordered[:, places.long().clamp_(max=number - 1)]


class SlicedTarget:
    """How the features of one layer should be distributed.

    Its loss is `mean (a - b)^2 / mean b^2`, over directions and positions: a are the projections of the picture's
    features in ascending order, and b those of the target at the same ranks. Heitz, Vanhoey, Chambon, Belcour, "A
    sliced Wasserstein loss for neural texture synthesis", CVPR 2021.

    Args:
        directions: `[d, C]`, each of length 1.
        ordered: `[d, n]`: projections on them, each row ascending.
    """

    def __init__(self, directions: Tensor, ordered: Tensor) -> None:
        self.directions, self.ordered = directions, ordered
        energy = ordered.square().mean()
        self._scale = torch.where(energy > 0, energy, 1).reciprocal()

    @classmethod
    def of(cls, features: Sequence[Tensor], shares: Sequence[float], directions: Tensor) -> SlicedTarget:
        """Return the target that lies between features `[1, C, h, w]` of any sizes: their Wasserstein barycentre.

        Args:
            features: One picture's each.
            shares: Their weights, which sum to 1.
            directions: `[d, C]`.

        Raises:
            SettingsError: There are no features, or not one share for each.
        """
        if not len(features) == len(shares) > 0:
            raise SettingsError(f"{len(features)} features and {len(shares)} shares were given; expected one of each")
        directions = directions.to(features[0].device, _project_dtype(features[0]))
        rows = [sort_rows(_projected(one, directions)) for one in features]
        count = max(row.shape[1] for row in rows)
        each = [share * resample_sorted(row, count) for row, share in zip(rows, shares, strict=True)]
        return cls(directions, torch.stack(each).sum(dim=0))

    def loss(self, features: Tensor) -> Tensor:
        """Return the loss of features `[1, C, h, w]`: a scalar, float32 (float64 for float64 features)."""
        values = _projected(features, self.directions)
        partners = match_ranks(values, resample_sorted(self.ordered, values.shape[1]))
        return (values - partners).square().mean() * self._scale


def _project_dtype(features: Tensor) -> torch.dtype:
    return torch.float64 if features.dtype == torch.float64 else torch.float32


def _projected(features: Tensor, directions: Tensor) -> Tensor:
    """Return `[d, positions]` of `[1, C, h, w]`."""
    return directions @ features[0].flatten(1).to(directions.dtype)
