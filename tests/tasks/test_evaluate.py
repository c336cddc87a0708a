"""The verb `evaluate`: on a generator of known pictures, what it measures, says and keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import ganart_shapes
import ganart_tiny
import numpy as np
import pytest
import torch
from ganart_shapes.runs import save_run

from ganart_zoo import Zoo, hookimpl
from ganart_zoo.contract import ImageError, ModelError, SettingsError
from ganart_zoo.registry.weights import WeightsStore
from ganart_zoo.tasks.evaluate import INCEPTION, Evaluation, evaluate
from ganart_zoo.tasks.generating import load_generator
from ganart_zoo.tasks.sample import sample
from ganart_zoo.training.metrics import Moments, frechet_distance, moments

NAMES = ["cat", "dog", "eel"]


@pytest.fixture
def shapes(tmp_path: Path) -> Zoo:
    """The zoo, with a cache folder of its own."""
    return Zoo(plugins=[ganart_tiny, ganart_shapes], strict=True, store=WeightsStore(tmp_path / "home"))


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """Pictures of one random colour each, in three classes of unequal size."""
    rng = np.random.default_rng(0)
    colours = rng.integers(60, 200, (60, 1, 1, 3), dtype=np.uint8)
    np.savez(
        tmp_path / "real.npz",
        images=np.broadcast_to(colours, (60, 8, 8, 3)),
        labels=np.array([0] * 40 + [1] * 15 + [2] * 5),
        class_names=np.array(NAMES),
    )
    return tmp_path / "real.npz"


def measured(zoo: Zoo, data: Path, model: str = "bands", **more: object) -> Evaluation:
    settings = more.pop("settings", {})
    generator = load_generator(zoo, model, weights=None, settings=settings)  # type: ignore[arg-type]
    return evaluate(generator, data, **{"samples": 40, "backbone": "pool", "side": 16, **more})  # type: ignore[arg-type]


def colours_of(images: torch.Tensor) -> torch.Tensor:
    return images.clamp(0, 1).mul(255).round().div(255).mean(dim=(2, 3))


def test_the_frechet_distance_is_that_of_the_pictures_that_sample_makes(shapes: Zoo, tmp_path: Path) -> None:
    """The pooled features of the tiny backbone are the mean colour, so all is known."""
    generator = load_generator(shapes, "bands", weights=None)
    np.savez(tmp_path / "real.npz", images=np.full((12, 8, 8, 3), (51, 102, 153), np.uint8))
    found = measured(shapes, tmp_path / "real.npz", seed=5)
    fake = moments(colours_of(sample(generator, 40, seed=5).images))
    flat = Moments(torch.tensor([0.2, 0.4, 0.6], dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64))
    assert found.metrics["frechet_distance"] == pytest.approx(frechet_distance(flat, fake), rel=1e-3)
    assert (found.about["samples"], found.about["reals"], found.about["seed"]) == (40, 12, 5)


def test_a_result_says_on_what_it_was_computed(shapes: Zoo, real: Path) -> None:
    found = json.loads(json.dumps(measured(shapes, real, settings={"truncation": 0.5}).to_json()))
    assert found["features"] == {
        "backbone": "ganart-tiny/pool",
        "weights": {},
        "layer": "blocks",
        "dimensions": 3,
        "pooling": "mean",
        "side": 16,
        "resizer": "bicubic, antialiased",
    }
    assert (found["model"]["model"], found["options"]) == ("ganart-shapes/bands", {"truncation": 0.5})
    assert len(found["data"]["sha256"]) == 64
    assert set(found["metrics"]) == {
        *("frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"),
        *("diversity", "path_length"),
    }


def test_only_a_backbone_that_says_it_is_inception_gives_fid_and_kid(tmp_path: Path, real: Path) -> None:
    class Inception:
        @hookimpl
        def ganart_models(self):
            (pool,) = [spec for spec in ganart_tiny.ganart_models() if spec.name == "pool"]
            return [replace(pool, name="inception", capabilities=frozenset({INCEPTION}))]

    zoo = Zoo(plugins=[ganart_shapes, Inception()], strict=True, store=WeightsStore(tmp_path / "home"))
    assert {"fid", "kid"} <= set(measured(zoo, real, backbone="inception").metrics)


def test_the_same_seed_gives_the_same_figures_and_truncation_costs_diversity(shapes: Zoo, real: Path) -> None:
    first, second = measured(shapes, real), measured(shapes, real)
    assert first.metrics == second.metrics
    less = measured(shapes, real, settings={"truncation": 0.3})
    assert less.metrics["diversity"] < 0.5 * first.metrics["diversity"]
    assert less.metrics["path_length"] < 0.5 * first.metrics["path_length"]
    assert less.metrics["recall"] < first.metrics["recall"]


def test_classes_are_asked_for_as_the_data_has_them(shapes: Zoo, real: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    from ganart_shapes.model import Flat

    forward = Flat.forward

    def kept(self, latents, condition=None, **more):
        asked.extend(condition.labels.tolist())
        return forward(self, latents, condition, **more)

    monkeypatch.setattr(Flat, "forward", kept)
    measured(shapes, real, "flat", settings={"class_names": NAMES}, samples=60)
    assert [asked[:60].count(label) for label in range(3)] == [40, 15, 5]
    asked.clear()
    measured(shapes, real, "flat", settings={"class_names": ["one", "two"]}, samples=60)
    assert asked[:4] == [0, 1, 0, 1]


def test_features_of_real_pictures_are_kept_by_what_they_are(shapes: Zoo, real: Path, tmp_path: Path) -> None:
    """Only where the backbone's weights are known by their hash."""
    measured(shapes, real)
    assert not (tmp_path / "home" / "features").exists()
    from ganart_zoo.tasks import evaluate as module

    backbone = shapes.create("pool")

    def features(side: int) -> module.PooledFeatures:
        made = module.PooledFeatures(backbone, side=side)  # type: ignore[arg-type]
        described = {**made.describe(), "weights": {"model": "ab" * 32}}
        made.describe = lambda: described  # type: ignore[method-assign]
        return made

    phases: list[str] = []
    steps = module.Steps(lambda event: phases.append(event.phase))
    data = module.open_data(real, 8)
    first = module._real(shapes, data, 40, features(16), steps)
    assert phases
    phases.clear()
    again = module._real(shapes, data, 40, features(16), steps)
    assert not phases
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])  # type: ignore[arg-type]
    module._real(shapes, data, 40, features(32), steps)
    assert phases
    (kept, _) = sorted((tmp_path / "home" / "features").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    kept.write_bytes(b"damaged")
    assert torch.equal(module._real(shapes, data, 40, features(16), steps)[0], first[0])


def test_a_run_is_compared_with_data_cropped_as_it_was_trained(shapes: Zoo, real: Path, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", generator=shapes.create("bands", weights=None))
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "data": {"crop": "pad"}}))
    found = evaluate(load_generator(shapes, run), real, samples=20, backbone="pool", side=16)
    assert found.about["data"]["crop"] == "pad"
    assert measured(shapes, real).about["data"]["crop"] == "centre"


def test_progress_is_told_and_the_caller_s_exception_passes(shapes: Zoo, real: Path) -> None:
    phases: list[str] = []
    measured(shapes, real, on_step=lambda event: phases.append(f"{event.phase} {event.step}/{event.total}"))
    assert phases == [
        *("real pictures 32/40", "real pictures 40/40", "generated pictures 32/40", "generated pictures 40/40"),
        *("path length 20/20", "figures 0/1", "figures 1/1"),
    ]

    def stop(event: object) -> Iterator[None]:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        measured(shapes, real, on_step=stop)


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"samples": 9}, SettingsError, "samples is 9, expected at least 10"),
        ({"seed": -1}, SettingsError, "seed is -1"),
        ({"backbone": "flat"}, SettingsError, "flat is a generator, expected a backbone"),
        ({"layer": "stem"}, SettingsError, "layer 'stem' is not in Pool"),
        ({"side": 8}, SettingsError, "side is 8"),
        ({"crop": "middle"}, SettingsError, "crop is 'middle', expected one of centre, random"),
        ({"model": "slow"}, SettingsError, "give a prompt"),
    ],
)
def test_what_is_not_fit_is_said(shapes: Zoo, real: Path, more: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        measured(shapes, real, **more)


def test_bad_data_and_diverged_generators_are_said(
    shapes: Zoo, real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ImageError, match="no such file"):
        measured(shapes, tmp_path / "none.npz")
    np.savez(tmp_path / "few.npz", images=np.zeros((3, 8, 8, 3), np.uint8))
    with pytest.raises(SettingsError, match="the data holds 3 pictures, expected at least 10"):
        measured(shapes, tmp_path / "few.npz")
    from ganart_shapes.model import Bands

    monkeypatch.setattr(Bands, "synthesize", lambda self, ws, rng=None: torch.full((len(ws), 3, 8, 8), torch.nan))
    with pytest.raises(ModelError, match="the run that made the generator diverged"):
        measured(shapes, real)
