"""Every metric of generated pictures, as one table: names, functions, meanings and directions. Torch-free.

`ganart evaluate`, `ganart train --metric`, their help and their JSON follow from it. A new metric is a function of
features, `(real [n, d], fake [m, d]) -> float`, in a module of this package, and a row here.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

__all__ = ["METRICS", "TRAINING_METRICS", "Metric", "meanings", "measure"]


@dataclass(frozen=True)
class Metric:
    """One metric."""

    name: str
    """What its value is called, on any backbone that is not the Inception network of FID and KID."""
    meaning: str
    better: Literal["lower", "higher", "neither"]
    """Which values are better."""
    function: str | None = None
    """`"module:function"` in this package, of features; None: `tasks.evaluate` computes it from pictures."""
    part: int | None = None
    """Which of the function's results it is, where these are several; the function is then called once for all."""
    training: str | None = None
    """Its name in `ganart train --metric`; None: its own name, if it is a function of features with a direction."""
    inception: str | None = None
    """What the value is called on Inception; None: the same."""
    inception_meaning: str = ""

    def named(self, inception: bool) -> str:
        """Return what the value is called, on Inception or on another backbone."""
        return self.inception if inception and self.inception else self.name

    def of(self, real: Tensor, fake: Tensor) -> float:
        """Return the value for features of real and of generated pictures, `[n, d]` and `[m, d]`."""
        (value,) = measure([self], real, fake).values()
        return value


METRICS = (
    Metric(
        "frechet_distance",
        "Fréchet distance of features; 0 is best; no FID, because the backbone is not Inception",
        "lower",
        "distances:frechet",
        training="frechet",
        inception="fid",
        inception_meaning="Fréchet distance on Inception; 0 is best",
    ),
    Metric(
        "kernel_distance",
        "kernel distance of features; 0 is best; no KID, because the backbone is not Inception",
        "lower",
        "distances:kernel_distance",
        training="kernel",
        inception="kid",
        inception_meaning="kernel distance on Inception; 0 is best",
    ),
    Metric("precision", "share of generated pictures within reach of real ones", "higher", "neighbours:precision"),
    Metric("recall", "share of real pictures within reach of generated ones", "higher", "neighbours:recall"),
    Metric(
        "density",
        "how crowded with generated pictures the surroundings of real ones are; about 1 is best",
        "neither",
        "neighbours:density_coverage",
        part=0,
    ),
    Metric(
        "coverage", "share of real pictures with a generated one near by", "higher", "neighbours:density_coverage", 1
    ),
    Metric("diversity", "mean perceptual distance of two generated pictures", "higher"),
    Metric("path_length", "perceptual path length; a smaller value means smoother latents", "lower"),
)
"""In the order in which they are shown."""

TRAINING_METRICS = {
    metric.training or metric.name: metric
    for metric in METRICS
    if metric.function is not None and metric.better != "neither"
}
"""The metrics by which the best checkpoint of a training can be known, by their names in its settings."""


def meanings() -> dict[str, str]:
    """Return the meaning of every value by its name."""
    plain = {metric.name: metric.meaning for metric in METRICS}
    return plain | {metric.inception: metric.inception_meaning for metric in METRICS if metric.inception}


def measure(metrics: Iterable[Metric], real: Tensor, fake: Tensor, *, inception: bool = False) -> dict[str, float]:
    """Return the values of metrics that are functions of features, by name.

    Args:
        metrics: Rows of the table; those without a function are left out.
        real: Features of real pictures, `[n, d]`.
        fake: Features of generated pictures, `[m, d]`.
        inception: Whether the features are those of Inception.

    Raises:
        SettingsError: There are too few pictures.
    """
    results: dict[str, Any] = {}
    values: dict[str, float] = {}
    for metric in metrics:
        if metric.function is None:
            continue
        if metric.function not in results:
            results[metric.function] = _function(metric.function)(real, fake)
        result = results[metric.function]
        values[metric.named(inception)] = float(result if metric.part is None else result[metric.part])
    return values


def _function(path: str) -> Callable[[Tensor, Tensor], Any]:
    module, _, name = path.partition(":")
    function: Callable[[Tensor, Tensor], Any] = getattr(importlib.import_module(f"ganart_zoo.metrics.{module}"), name)
    return function
