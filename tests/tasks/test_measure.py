"""The metric of a training: the figure of `evaluate`, for generators that are told texts too."""

from __future__ import annotations

from pathlib import Path

import ganart_shapes
import ganart_tiny
import numpy as np
import pytest

from ganart_zoo import Zoo
from ganart_zoo.contract import Generator
from ganart_zoo.data import open_data
from ganart_zoo.registry.weights import WeightsStore
from ganart_zoo.tasks.evaluate import evaluate
from ganart_zoo.tasks.generating import load_generator
from ganart_zoo.tasks.measure import TrainingMetric
from ganart_zoo.training import Measurement


@pytest.mark.parametrize(("model", "told"), [("lettered", ["prompt"]), ("bands", [])])
def test_it_is_the_figure_of_evaluate(tmp_path: Path, model: str, told: list[str]) -> None:
    zoo = Zoo(plugins=[ganart_tiny, ganart_shapes], strict=True, store=WeightsStore(tmp_path / "home"))
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "real.npz", images=images, captions=np.array(["hat", "green hat", "cat"] * 10))
    config = Measurement(name="frechet", backbone="pool", side=16, samples=30, seed=4)
    metric = TrainingMetric(zoo, zoo.entry(model), config, open_data(tmp_path / "real.npz"), told)
    generator = zoo.create(model, weights=None)
    assert isinstance(generator, Generator)
    found = dict(metric(generator))
    loaded = load_generator(zoo, model, weights=None)
    expected = evaluate(loaded, tmp_path / "real.npz", samples=30, seed=4, backbone="pool", side=16)
    assert found["frechet_distance"] == expected.metrics["frechet_distance"]
    assert found["measured_on"]["features"] == expected.about["features"]
    assert found["measured_on"]["reals"] == expected.about["reals"] == 30
    assert dict(metric(generator)) == found
