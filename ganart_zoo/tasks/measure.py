"""The metric of a training: how far the averaged generator's pictures are from the real ones, to know the best by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.models import Generator
from ganart_zoo.data import Data
from ganart_zoo.data.indexed import IndexedData
from ganart_zoo.metrics import TRAINING_METRICS, PooledFeatures
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.running.calls import Steps
from ganart_zoo.running.generators import LoadedGenerator, check_seeds
from ganart_zoo.tasks.comparison import (
    FEWEST,
    RealFeatures,
    default_side,
    generated_pictures,
    is_inception,
    load_backbone,
    real_features,
    row_labels,
)
from ganart_zoo.training.settings import Measurement

__all__ = ["TrainingMetric"]


class TrainingMetric:
    """One metric of `evaluate`, for `Trainer(metric=...)`.

    The real pictures are looked at when it is first called, and their features kept as `evaluate` keeps them. The
    generated ones are those of the same seeds each time, asked to be what the real ones are.

    Args:
        zoo: Where the backbone comes from.
        entry: The generator's declaration.
        config: What to measure; its `name` is set.
        data: The real pictures.
        conditions: The conditions of the generator: of `"labels"` and `"prompt"`.
        fetch: Download missing weights of the backbone.

    Raises:
        GanartError: The backbone, its layer or the data is not fit.
    """

    def __init__(
        self, zoo: Zoo, entry: Entry, config: Measurement, data: Data, conditions: Sequence[str], *, fetch: bool = False
    ) -> None:
        check_seeds(config.seed, config.samples)
        if isinstance(data, IndexedData) and len(data) < FEWEST:
            raise SettingsError(f"the data holds {len(data)} pictures, expected at least {FEWEST} to compare with")
        self._zoo, self._entry, self._config, self._data = zoo, entry, config, data
        self._prompts = data.prompts if "prompt" in conditions else None
        choice = {"model": config.backbone, "weights": config.weights}
        self._backbone = load_backbone(zoo, choice, device=torch.device("cpu"), fetch=fetch)
        side = default_side(zoo, self._backbone) if config.side is None else config.side
        self._features = PooledFeatures(self._backbone, config.layer, side)
        assert config.name is not None  # else there is nothing to measure
        self._metric = TRAINING_METRICS[config.name]
        self.name = self._metric.named(is_inception(zoo, self._backbone))
        self._real: RealFeatures | None = None

    @property
    def higher_is_better(self) -> bool:
        """The direction of the metric."""
        return self._metric.better == "higher"

    def describe(self) -> dict[str, Any]:
        """Return JSON-ready facts that must accompany a figure, except the count of real pictures."""
        counts = {"samples": self._config.samples, "seed": self._config.seed}
        return {"name": self.name, **counts, "features": self._features.describe()}

    def __call__(self, generator: Generator) -> Mapping[str, Any]:
        """Return the distance by its name, and under `"measured_on"` what it was measured on."""
        config, steps = self._config, Steps(None)
        self._backbone.to(generator.device)
        if self._real is None:
            self._real = real_features(self._zoo, self._data, config.samples, self._features, steps)
        loaded = LoadedGenerator(self._zoo, self._entry, generator, self._zoo.options(self._entry.canonical))
        labels = row_labels(loaded, self._data, self._real.labels, config.samples)
        generated = generated_pictures(
            loaded, labels, self._prompts, config.seed, config.samples, task="train", progress=steps
        )
        value = self._metric.of(self._real.features, torch.cat([self._features(images) for images in generated]))
        return {self.name: value, "measured_on": {**self.describe(), "reals": len(self._real.features)}}
