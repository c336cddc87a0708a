"""The verb `evaluate`: how near a generator's pictures are to real ones, and how varied and smooth they are."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.contract.models import Backbone, StyleGenerator
from ganart_zoo.contract.rng import generator as seeded
from ganart_zoo.registry import Zoo
from ganart_zoo.tasks.calls import Steps
from ganart_zoo.tasks.generating import LoadedGenerator, check_seeds
from ganart_zoo.tasks.latents import lerp, slerp
from ganart_zoo.training.data import Crop, Data, Share, open_data
from ganart_zoo.training.data.indexed import IndexedData
from ganart_zoo.training.metrics import (
    PerceptualDistance,
    PooledFeatures,
    as_saved,
    density_coverage,
    frechet_distance,
    kernel_distance,
    moments,
    path_length,
    precision_recall,
)

__all__ = ["DEFAULT_BACKBONE", "INCEPTION", "Evaluation", "evaluate"]

DEFAULT_BACKBONE = "ganart-backbones/efficientnet_lite0"

INCEPTION = "x-fid-inception"
"""The capability by which a backbone says that it is the Inception network, weights included, that FID and KID mean."""

_FEWEST = 10
"""Pictures below which neighbours and covariances mean nothing."""

_PAIRS = 256
"""Of pictures for diversity, and of latents for path length; fewer where fewer samples are asked for."""

_BATCH = 32


@dataclass(frozen=True)
class Evaluation:
    """Figures, and all that they must be told with."""

    metrics: Mapping[str, float]
    about: Mapping[str, Any]
    """JSON-ready: model, options, data, counts, seed, features."""
    notes: tuple[str, ...]
    """What a reader of the figures should know."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain JSON data."""
        return {**self.about, "metrics": dict(self.metrics), "notes": list(self.notes), "seconds": self.seconds}


def evaluate(
    generator: LoadedGenerator,
    data: Path,
    *,
    samples: int = 5000,
    seed: int = 0,
    backbone: str = DEFAULT_BACKBONE,
    layer: str | None = None,
    side: int = 128,
    crop: str | None = None,
    fetch: bool = False,
    on_step: OnStep | None = None,
) -> Evaluation:
    """Compare pictures of a generator with real ones.

    The pictures are those that `sample` makes of seeds `seed` to `seed + samples - 1`, rounded to 8 bits. As many real
    ones are taken, or all where there are fewer. A generator that has the data's classes is asked for the classes of
    these; any other takes its own in turn.

    Metrics: `frechet_distance` and `kernel_distance` (called `fid` and `kid` only on a backbone with the capability
    `INCEPTION`), `precision` and `recall` (3 neighbours), `density` and `coverage` (5), `diversity` (mean perceptual
    distance of pairs of pictures) and `path_length` (perceptual; in w for a style generator, else along arcs in z).

    Features of the real pictures are kept in the zoo's cache folder by the hash of data, backbone and resizing.

    Args:
        generator: From `load_generator`.
        data: As `open_data` takes it.
        samples: Pictures to make; at least 10.
        seed: Of the first.
        backbone: A name.
        layer: Of the backbone; None for the deepest but the class head.
        side: Pictures are scaled to this for the backbone, in pixels.
        crop: How real pictures become square; None: as the run was trained, else `"centre"`.
        fetch: Download missing weights of the backbone.
        on_step: Told of progress. Half an evaluation is none, so what it returns does not matter; raise to end.

    Raises:
        GanartError: A setting or the data is not fit, or a model broke.
    """
    check_seeds(seed, samples)
    if samples < _FEWEST:
        raise SettingsError(f"samples is {samples}, expected at least {_FEWEST}")
    generator.check_prompt(None)
    features, perceptual = _judges(generator, backbone, layer, side, fetch)
    # Not refused by open_data, for it trusts its type.
    crop = _crop(generator) if crop is None else crop
    if crop not in get_args(Crop):
        raise SettingsError(f"crop is {crop!r}, expected one of {', '.join(get_args(Crop))}")
    pictures = open_data(data, getattr(generator.model.config, "resolution", None), crop=crop)  # type: ignore[arg-type]
    about = {"samples": samples, "seed": seed, "data": str(data)}
    start = time.perf_counter()
    with generator.announced("evaluate", None, about):
        progress = Steps(on_step)
        real, real_labels, skipped = _real(generator.zoo, pictures, samples, features, progress)
        labels = _labels(generator, pictures, real_labels, samples)
        fake, diversity = _fake(generator, labels, seed, samples, features, perceptual, progress)
        lengths = _path_lengths(generator, labels, seed, samples, perceptual, progress)
        _tell(progress, 0, 1, "figures")
        metrics = _metrics(real, fake, features) | {"diversity": diversity, "path_length": lengths}
        _tell(progress, 1, 1, "figures")
    if INCEPTION in generator.zoo.entry(backbone).spec.capabilities:
        metrics = {{"frechet_distance": "fid", "kernel_distance": "kid"}.get(k, k): v for k, v in metrics.items()}
    seconds = time.perf_counter() - start
    generator.emit("evaluate", "finished", None, {**about, "seconds": seconds, "metrics": metrics})
    notes = []
    if min(samples, len(real)) <= features.dimensions:
        notes.append(
            f"fewer pictures than the {features.dimensions} numbers of a picture's features: the Fréchet distance is "
            "biased upwards; compare it only with one of the same counts"
        )
    if skipped:
        notes.append(f"{skipped} real pictures could not be read and were passed over")
    return Evaluation(
        metrics, _about(generator, pictures, features, perceptual, len(real), about), tuple(notes), seconds
    )


def _judges(
    generator: LoadedGenerator, name: str, layer: str | None, side: int, fetch: bool
) -> tuple[PooledFeatures, PerceptualDistance]:
    entry = generator.zoo.entry(name)
    if entry.spec.kind != "backbone":
        raise SettingsError(f"{entry.canonical} is a {entry.spec.kind}, expected a backbone")
    model = generator.zoo.create(entry.canonical, device=generator.model.device, fetch=fetch)
    assert isinstance(model, Backbone)  # its kind says so, and the zoo holds it to that
    return PooledFeatures(model, layer, side), PerceptualDistance(model, side=side)


def _crop(generator: LoadedGenerator) -> str:
    """Return how the run of this generator cropped its data; `"centre"` for any other generator."""
    made = generator.model.provenance
    if made is None or made.part is None:
        return "centre"
    run = json.loads(Path(str(made.weights), "config.json").read_text(encoding="utf-8"))
    return str(run.get("data", {}).get("crop", "centre"))


def _real(
    zoo: Zoo, data: Data, samples: int, features: PooledFeatures, progress: Steps
) -> tuple[Tensor, Tensor | None, int]:
    """Return features and labels of real pictures, and how many could not be read; from the cache where it has them.

    Which pictures are taken does not depend on the seed, so that one cache serves all.
    """
    count = min(samples, len(data)) if isinstance(data, IndexedData) else samples
    if count < _FEWEST:
        raise SettingsError(f"the data holds {count} pictures, expected at least {_FEWEST} to compare with")
    facts = {name: value for name, value in data.describe().items() if name != "path"}
    key = hashlib.sha256(json.dumps([facts, features.describe(), count], sort_keys=True).encode()).hexdigest()
    file = zoo.store.home / "features" / f"{key}.safetensors"
    with suppress(Exception):  # not there, or damaged: then it is made again
        kept = load_file(file)
        return kept["features"], kept.get("labels"), int(kept["skipped"])
    rows: list[Tensor] = []
    labels: list[Tensor] = []
    done = skipped = 0
    for batch in data.loader(Share(_BATCH), seed=0, workers=0)():
        rows.append(features(batch.images.float().div(255)))
        if batch.labels is not None:
            labels.append(batch.labels)
        done += len(batch.images)
        skipped += len(batch.skipped)
        _tell(progress, min(done, count), count, "real pictures")
        if done >= count:
            break
    found = {"features": torch.cat(rows)[:count].contiguous(), "skipped": torch.tensor(skipped)}
    if labels:
        found["labels"] = torch.cat(labels)[:count].contiguous()
    if features.describe()["weights"]:  # what has no hash cannot be known again
        _keep(file, found)
    return found["features"], found.get("labels"), skipped


def _keep(file: Path, tensors: dict[str, Tensor]) -> None:
    part = file.with_name(f".{secrets.token_hex(8)}.part")
    with suppress(OSError):  # a cache that cannot be written costs time, and nothing else
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part)
        part.replace(file)


def _labels(generator: LoadedGenerator, data: Data, real: Tensor | None, samples: int) -> list[int] | None:
    own = generator.labels(None)
    if own is None:
        return None
    if real is not None and len(data.class_names) == len(own):
        own = tuple(real.tolist())
    return [own[row % len(own)] for row in range(samples)]


def _fake(
    generator: LoadedGenerator,
    labels: list[int] | None,
    seed: int,
    samples: int,
    features: PooledFeatures,
    perceptual: PerceptualDistance,
    progress: Steps,
) -> tuple[Tensor, float]:
    """Return the features of generated pictures, and the mean distance of the first pairs of them."""
    rows: list[Tensor] = []
    distances: list[Tensor] = []
    compared = min(samples, 2 * _PAIRS)
    for first, last in _batches(samples):
        with generator.calls("evaluate", progress), torch.no_grad():
            told = generator.condition(None if labels is None else labels[first:last])
            images = as_saved(generator.paint(range(seed + first, seed + last), told))
            pairs = images[: max(0, compared - first) // 2 * 2]
            if len(pairs):
                distances.append(perceptual(pairs[::2], pairs[1::2]))
        rows.append(features(images))
        _tell(progress, last, samples, "generated pictures")
    return torch.cat(rows), float(torch.cat(distances).mean())


def _path_lengths(
    generator: LoadedGenerator,
    labels: list[int] | None,
    seed: int,
    samples: int,
    perceptual: PerceptualDistance,
    progress: Steps,
) -> float:
    """Return the mean of the lengths of paths between neighbouring seeds, less the lowest and highest hundredth."""
    paths = min(samples // 2, _PAIRS)
    found: list[Tensor] = []
    rng = seeded(seed)
    for first, last in _batches(paths):
        with generator.calls("evaluate", progress), torch.no_grad():
            starts = range(seed + 2 * first, seed + 2 * last, 2)
            told = None if labels is None else labels[2 * first : 2 * last : 2]
            found.append(path_length(_along(generator, starts, told), perceptual, last - first, rng=rng))
        _tell(progress, last, paths, "path length")
    lengths = torch.cat(found)
    low, high = torch.quantile(lengths, torch.tensor([0.01, 0.99]))
    return float(lengths[(lengths >= low) & (lengths <= high)].mean())


def _along(generator: LoadedGenerator, starts: range, labels: list[int] | None) -> Callable[[Tensor], Tensor]:
    """Return what gives the pictures at fractions of the paths from each start to the next seed."""
    model, told = generator.model, generator.condition(labels)
    a, b = generator.latents(starts), generator.latents([seed + 1 for seed in starts])
    if isinstance(model, StyleGenerator):
        from_w, to_w = (generator.truncated(model.map(latents, told)) for latents in (a, b))
        return lambda t: model.synthesize(lerp(from_w, to_w, t))

    def pictures(t: Tensor) -> Tensor:
        rows = [seeded(seed) for seed in starts]  # the same noise at every place of a path
        images: Tensor = model(slerp(a, b, t), told, rng=rows, options=generator.options)
        return images

    return pictures


def _metrics(real: Tensor, fake: Tensor, features: PooledFeatures) -> dict[str, float]:
    precision, recall = precision_recall(real, fake)
    density, coverage = density_coverage(real, fake)
    return {
        "frechet_distance": frechet_distance(moments(real), moments(fake)),
        "kernel_distance": kernel_distance(real, fake),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }


def _about(
    generator: LoadedGenerator,
    data: Data,
    features: PooledFeatures,
    perceptual: PerceptualDistance,
    reals: int,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    made = generator.model.provenance
    assert made is not None  # Zoo.create made it
    return {
        "model": made.to_json(),
        "options": generator.options.model_dump(mode="json"),
        "data": data.describe(),
        "samples": about["samples"],
        "reals": reals,
        "seed": about["seed"],
        "features": features.describe(),
        "perceptual_layers": list(perceptual.layers),
        "neighbours": {"precision_recall": 3, "density_coverage": 5},
        "pairs": min(about["samples"] // 2, _PAIRS),
    }


def _batches(count: int) -> Iterator[tuple[int, int]]:
    return ((first, min(first + _BATCH, count)) for first in range(0, count, _BATCH))


def _tell(progress: Steps, done: int, total: int, phase: str) -> None:
    progress(StepEvent(done, total, phase, {}, lambda: torch.empty(0, 3, 0, 0)))
