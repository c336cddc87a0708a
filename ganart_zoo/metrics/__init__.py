"""How near generated pictures are to real ones: distances and overlaps of their features on a named backbone.

A number computed on another backbone than Inception is never called FID or KID: features, their layer, the resizer and
the counts belong to each result.
"""

from __future__ import annotations

from ganart_zoo.metrics.distances import Moments, frechet_distance, kernel_distance, moments
from ganart_zoo.metrics.features import PooledFeatures, as_saved
from ganart_zoo.metrics.neighbours import density_coverage, precision_recall
from ganart_zoo.metrics.perceptual import PerceptualDistance, path_length

__all__ = [
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
