"""How near generated pictures are to real ones: distances and overlaps of their features on a named backbone.

A number computed on another backbone than Inception is never called FID or KID: features, their layer, the resizer and
the counts belong to each result. `METRICS` is the table of all metrics.

Names load when they are first touched, so that the table costs no torch.
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
