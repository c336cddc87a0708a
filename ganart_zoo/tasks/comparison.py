"""Generated pictures beside real ones, as a backbone sees them: what `evaluate` and the metric of a training share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.contract.events import StepEvent
from ganart_zoo.contract.models import Backbone
from ganart_zoo.data import Data
from ganart_zoo.data.indexed import IndexedData
from ganart_zoo.imaging.files import whole_file
from ganart_zoo.metrics import PooledFeatures, as_saved
from ganart_zoo.registry import Zoo
from ganart_zoo.running.calls import Steps
from ganart_zoo.running.generators import LoadedGenerator

__all__ = [
    "DEFAULT_BACKBONE",
    "FEWEST",
    "INCEPTION",
    "BackboneChoice",
    "Prompts",
    "RealFeatures",
    "batches",
    "class_map",
    "default_side",
    "generated_pictures",
    "is_inception",
    "load_backbone",
    "real_features",
    "report",
    "row_labels",
]

DEFAULT_BACKBONE = "ganart-backbones/efficientnet_lite0"

INCEPTION = "x-fid-inception"
"""The capability by which a backbone says that it is, once it has weights, the Inception network of FID and KID."""

_INCEPTION_SIDE = 299
_SIDE = 128

FEWEST = 10
"""Pictures below which neighbours and covariances mean nothing."""

_BATCH = 32

BackboneChoice: TypeAlias = "str | Mapping[str, Any]"
"""A backbone, in the form of a key of `uses`: its name, or `{"model": ..., "weights": ..., **settings}`."""

Prompts: TypeAlias = "Sequence[str] | None"
"""What generated pictures are asked to be, in turn."""


def load_backbone(zoo: Zoo, choice: BackboneChoice, *, device: torch.device, fetch: bool) -> Backbone:
    """Build the backbone that looks at pictures.

    Raises:
        GanartError: There is no such backbone, or a setting or its weights do not fit; see `Zoo.create`.
    """
    settings = {"model": choice} if isinstance(choice, str) else dict(choice)
    entry = zoo.entry(settings.pop("model"))
    if entry.spec.kind != "backbone":
        raise SettingsError(f"{entry.canonical} is a {entry.spec.kind}, expected a backbone")
    model = zoo.create(entry.canonical, device=device, fetch=fetch, **settings)
    assert isinstance(model, Backbone)  # its kind says so, and the zoo holds it to that
    return model


def default_side(zoo: Zoo, backbone: Backbone) -> int:
    """Return the side, in pixels, that pictures are scaled to where nobody asks for another."""
    return _INCEPTION_SIDE if is_inception(zoo, backbone) else _SIDE


def is_inception(zoo: Zoo, backbone: Backbone) -> bool:
    """Return whether features of this backbone are those of FID and KID: it is the Inception network with weights."""
    provenance = backbone.provenance
    return provenance is not None and bool(provenance.files) and INCEPTION in zoo.spec(provenance.model).capabilities


class RealFeatures(NamedTuple):
    """What a backbone sees in real pictures."""

    features: Tensor
    """`[n, d]`."""
    labels: Tensor | None
    """`[n]`, where the data has classes."""
    skipped: int
    """Pictures that could not be read."""


def real_features(zoo: Zoo, data: Data, samples: int, features: PooledFeatures, progress: Steps) -> RealFeatures:
    """Return the features of `samples` real pictures, or of all where there are fewer; from the cache where it can.

    Which are taken depends on the data alone, so that one cache serves all seeds.

    Raises:
        SettingsError: There are fewer than 10.
    """
    facts = {name: value for name, value in data.describe().items() if name != "path"}
    key = hashlib.sha256(json.dumps([facts, features.describe(), samples], sort_keys=True).encode()).hexdigest()
    file = zoo.store.home / "features" / f"{key}.safetensors"
    with suppress(Exception):  # missing or damaged: it is computed again
        kept = load_file(file)
        return RealFeatures(kept["features"], kept.get("labels"), int(kept["skipped"]))
    seen = _seen(data, samples, features, progress)
    if features.describe()["weights"]:  # what has no hash cannot be known again
        labels = {} if seen.labels is None else {"labels": seen.labels}
        _keep(file, {"features": seen.features, "skipped": torch.tensor(seen.skipped), **labels})
    return seen


def _seen(data: Data, samples: int, features: PooledFeatures, progress: Steps) -> RealFeatures:
    rows: list[Tensor] = []
    labels: list[int] = []
    waiting: list[Tensor] = []
    skipped: list[ImageError] = []
    total = min(samples, len(data)) if isinstance(data, IndexedData) else samples

    def look() -> None:
        if waiting:
            rows.append(features(torch.stack(waiting).float().div(255)))
            waiting.clear()
            report(progress, sum(map(len, rows)), total, "real pictures")

    read = 0
    for sample in data.once():
        if isinstance(sample, ImageError):
            skipped.append(sample)
            continue
        waiting.append(sample.image)
        labels += [] if sample.label is None else [sample.label]
        read += 1
        if len(waiting) == _BATCH:
            look()
        if read == samples:
            break
    look()
    if read < FEWEST:
        why = f" ({len(skipped)} cannot be read; the first: {skipped[0]})" if skipped else ""
        raise SettingsError(f"the data holds {read} pictures{why}, expected at least {FEWEST} to compare with")
    return RealFeatures(torch.cat(rows), torch.tensor(labels) if labels else None, len(skipped))


def _keep(file: Path, tensors: dict[str, Tensor]) -> None:
    with suppress(OSError, SafetensorError):  # a cache that cannot be written costs time, and nothing else
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as part:
            save_file(tensors, part)


def row_labels(generator: LoadedGenerator, data: Data, real: Tensor | None, samples: int) -> list[int] | None:
    """Return the class that each generated picture is asked to be: those of the real pictures, as `class_map` has them.

    A generator that lacks a class of the data takes its own in turn; None for one without classes.
    """
    own = generator.labels(None)
    if own is None:
        return None
    known = class_map(generator, data)
    if real is not None and known is not None:
        own = tuple(known[label] for label in real.tolist())
    return [own[row % len(own)] for row in range(samples)]


def class_map(generator: LoadedGenerator, data: Data) -> list[int] | None:
    """Return the generator's label of each class of the data, known by its name; None where it lacks one.

    Classes that the data only numbers are the generator's by number.
    """
    names = generator.class_names
    by_name = {name: label for label, name in enumerate(names)}
    by_number = {str(label): label for label in range(len(names))}
    for known in (by_name, by_number):
        if known.keys() >= {*data.class_names}:
            return [known[name] for name in data.class_names]
    return None


def generated_pictures(
    generator: LoadedGenerator,
    labels: Sequence[int] | None,
    prompts: Prompts,
    seed: int,
    samples: int,
    *,
    task: str,
    progress: Steps,
) -> Iterator[Tensor]:
    """Yield batches `[n, 3, H, W]` of the pictures of seeds `seed` to `seed + samples - 1`, rounded to 8 bits.

    Raises:
        GanartError: The generator broke, diverged, or memory ran out.
    """
    for first, last in batches(samples):
        with generator.calls(task, progress):
            condition = generator.rows_condition(range(first, last), labels, prompts)
            images = as_saved(generator.paint(range(seed + first, seed + last), condition))
        yield images
        report(progress, last, samples, "generated pictures")


def batches(count: int) -> Iterator[tuple[int, int]]:
    """Yield the first row of each batch and the one after its last."""
    return ((first, min(first + _BATCH, count)) for first in range(0, count, _BATCH))


def report(progress: Steps, done: int, total: int, phase: str) -> None:
    """Report a step that has no picture to show."""
    progress(StepEvent.of(done, total, phase))
