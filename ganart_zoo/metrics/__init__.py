"""Measures how close generated pictures are to real ones, by distances and overlaps of features of a backbone.

Only numbers computed with Inception are called FID or KID. Each result states the backbone, its layer, the resizer and
the numbers of pictures. `METRICS` is the table of all metrics.

Names are loaded when they are first used, so that the table can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganart_zoo.contract.lazy import lazy_names
from ganart_zoo.metrics.table import METRICS, TRAINING_METRICS, Metric

if TYPE_CHECKING:
    from ganart_zoo.metrics.distances import Moments, frechet_distance, kernel_distance, moments
    from ganart_zoo.metrics.features import PooledFeatures, as_saved
    from ganart_zoo.metrics.neighbours import density_coverage, precision_recall
    from ganart_zoo.metrics.perceptual import PerceptualDistance, path_length

_LAZY = {
    **dict.fromkeys(("Moments", "frechet_distance", "kernel_distance", "moments"), "distances"),
    **dict.fromkeys(("PooledFeatures", "as_saved"), "features"),
    **dict.fromkeys(("density_coverage", "precision_recall"), "neighbours"),
    **dict.fromkeys(("PerceptualDistance", "path_length"), "perceptual"),
}

__all__ = [
    "METRICS",
    "TRAINING_METRICS",
    "Metric",
    "Moments",
    "PerceptualDistance",
    "PooledFeatures",
    "as_saved",
    "density_coverage",
    "frechet_distance",
    "kernel_distance",
    "moments",
    "path_length",
    "precision_recall",
]


__getattr__ = lazy_names(__name__, _LAZY)


def __dir__() -> list[str]:
    return sorted(__all__)
