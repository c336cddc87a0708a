"""The verb `evaluate`: on a generator of known pictures, what it measures, says and keeps."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import ganart_shapes
import ganart_tiny
import numpy as np
import pytest
import torch
from ganart_shapes.runs import save_run
from PIL import Image
from safetensors.torch import save_file

from ganart_zoo import Zoo, hookimpl
from ganart_zoo.contract import ImageError, ModelError, SettingsError
from ganart_zoo.contract.digest import file_sha256
from ganart_zoo.data import open_data
from ganart_zoo.metrics import METRICS, Moments, PooledFeatures, frechet_distance, moments
from ganart_zoo.registry.weights import WeightsStore
from ganart_zoo.running.calls import Steps
from ganart_zoo.tasks.comparison import real_features, row_labels
from ganart_zoo.tasks.evaluate import INCEPTION, Evaluation, evaluate
from ganart_zoo.tasks.generating import load_generator
from ganart_zoo.tasks.sample import sample

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
        "config": {"block": 2},
        "weights": {},
        "layer": "blocks",
        "dimensions": 3,
        "pooling": "mean",
        "side": 16,
        "resizer": "bicubic, antialiased",
    }
    assert (found["model"]["model"], found["options"]) == ("ganart-shapes/bands", {"truncation": 0.5})
    assert len(found["data"]["sha256"]) == 64
    assert set(found["metrics"]) == {metric.name for metric in METRICS}


def test_only_a_backbone_that_says_it_is_inception_gives_fid_and_kid(tmp_path: Path, real: Path) -> None:
    class Inception:
        @hookimpl
        def ganart_models(self):
            (pool,) = [spec for spec in ganart_tiny.ganart_models() if spec.name == "pool"]
            return [replace(pool, name="inception", capabilities=frozenset({INCEPTION}))]

    zoo = Zoo(plugins=[ganart_shapes, ganart_tiny, Inception()], strict=True, store=WeightsStore(tmp_path / "home"))
    save_file({"scale": torch.full((1,), 2.0)}, tmp_path / "mine.safetensors")
    mine = str(tmp_path / "mine.safetensors")
    plain = measured(zoo, real).metrics
    for backbone in ("inception", {"model": "pool", "weights": mine}):  # no weights; weights, and not Inception
        assert not {"fid", "kid"} & set(measured(zoo, real, backbone=backbone).metrics)
    found = measured(zoo, real, backbone={"model": "inception", "weights": mine})
    assert found.metrics["fid"] == pytest.approx(4 * plain["frechet_distance"], rel=1e-6)  # features are doubled
    assert "kid" in found.metrics
    assert not {"frechet_distance", "kernel_distance"} & set(found.metrics)
    assert found.about["features"]["weights"] == {"model": file_sha256(Path(mine))}
    generator = load_generator(zoo, "bands", weights=None)
    assert (
        evaluate(generator, real, samples=10, backbone=found.about["features"]["backbone"]).about["features"]["side"]
        == 128
    )
    choice = {"model": "inception", "weights": mine}
    assert evaluate(generator, real, samples=10, backbone=choice).about["features"]["side"] == 299


def test_a_backbone_takes_settings_which_the_result_tells(shapes: Zoo, real: Path) -> None:
    found = measured(shapes, real, backbone={"model": "pool", "block": 4})
    assert found.about["features"]["config"] == {"block": 4}
    with pytest.raises(SettingsError, match="no setting 'blok'; did you mean 'block'"):
        measured(shapes, real, backbone={"model": "pool", "blok": 4})


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
    found = measured(shapes, real, "flat", settings={"class_names": ["eel", "ant", "cat", "dog"]}, samples=60)
    assert [asked[:60].count(label) for label in range(4)] == [5, 0, 40, 15]
    assert found.notes == ()
    asked.clear()
    found = measured(shapes, real, "flat", settings={"class_names": ["cat", "dog", "emu"]}, samples=60)
    assert asked[:4] == [0, 1, 2, 0]
    assert found.notes == ("the generator lacks classes of the data, so it was asked for all of its own in turn",)


def test_classes_that_the_data_only_numbers_are_asked_for_by_number(shapes: Zoo, real: Path, tmp_path: Path) -> None:
    with np.load(real) as file:
        np.savez(tmp_path / "numbered.npz", images=file["images"], labels=file["labels"])
    flat = load_generator(shapes, "flat", weights=None, settings={"class_names": NAMES})
    data = open_data(tmp_path / "numbered.npz")
    assert row_labels(flat, data, torch.tensor([2, 0, 1]), 4) == [2, 0, 1, 2]
    more = load_generator(shapes, "flat", weights=None, settings={"class_names": [*NAMES, "fly"]})
    assert row_labels(more, data, torch.tensor([2, 0, 1]), 5) == [2, 0, 1, 2, 0]  # the fourth is not in the data


def test_a_text_is_painted_or_the_data_s_captions_in_turn(shapes: Zoo, real: Path, tmp_path: Path) -> None:
    """Each letter adds a hundredth to the colour, so texts of 3 and of 9 letters lie 0.06 apart."""
    short, long = (measured(shapes, real, "lettered", prompt=text) for text in ("hat", "green hat"))
    assert (short.about["prompt"], long.about["prompt"]) == ("hat", "green hat")
    assert short.metrics["frechet_distance"] != long.metrics["frechet_distance"]
    with np.load(real) as file:
        np.savez(tmp_path / "told.npz", images=file["images"], captions=np.array(["hat"] * 60))
    told = measured(shapes, tmp_path / "told.npz", "lettered")
    assert told.metrics == pytest.approx(short.metrics)
    with pytest.raises(SettingsError, match="takes no text"):
        measured(shapes, real, prompt="hat")


def test_real_pictures_of_shards_are_taken_once_each_and_counted(shapes: Zoo, tmp_path: Path) -> None:
    """A set of distinct pictures has each its own neighbours; the same ones over and over would have none."""
    rng = np.random.default_rng(0)
    with tarfile.open(tmp_path / "real.tar", "w") as tar:
        for number, colour in enumerate(rng.integers(60, 200, (23, 3))):
            stream = io.BytesIO()
            Image.new("RGB", (8, 8), tuple(map(int, colour))).save(stream, "PNG")
            entry = tarfile.TarInfo(f"{number:02}.png")
            entry.size = stream.tell()
            stream.seek(0)
            tar.addfile(entry, stream)
        entry = tarfile.TarInfo("99.png")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"none"))
    found = measured(shapes, tmp_path / "real.tar", samples=40)
    assert (found.about["reals"], found.about["samples"]) == (23, 40)
    assert "1 real pictures could not be read and were passed over" in found.notes
    seen = real_features(
        shapes, open_data(tmp_path / "real.tar", 8), 40, PooledFeatures(shapes.create("pool"), side=16), Steps(None)
    ).features
    assert len(seen.unique(dim=0)) == len(seen) == 23


def test_features_of_real_pictures_are_kept_by_what_they_are(shapes: Zoo, real: Path, tmp_path: Path) -> None:
    """Only where the backbone's weights are known by their hash."""
    measured(shapes, real)
    assert not (tmp_path / "home" / "features").exists()
    backbone = shapes.create("pool")

    def features(side: int) -> PooledFeatures:
        made = PooledFeatures(backbone, side=side)  # type: ignore[arg-type]
        described = {**made.describe(), "weights": {"model": "ab" * 32}}
        made.describe = lambda: described  # type: ignore[method-assign]
        return made

    phases: list[str] = []
    steps = Steps(lambda event: phases.append(event.phase))
    data = open_data(real, 8)
    first = real_features(shapes, data, 40, features(16), steps)
    assert phases
    phases.clear()
    again = real_features(shapes, data, 40, features(16), steps)
    assert not phases
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])  # type: ignore[arg-type]
    real_features(shapes, data, 40, features(32), steps)
    assert phases
    (kept, _) = sorted((tmp_path / "home" / "features").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    kept.write_bytes(b"damaged")
    assert torch.equal(real_features(shapes, data, 40, features(16), steps)[0], first[0])


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
    with pytest.raises(ModelError, match="values are NaN or infinite"):
        measured(shapes, real)
