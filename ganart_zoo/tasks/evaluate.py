"""The verb `evaluate`: how near a generator's pictures are to real ones, and how varied and smooth they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.events import OnStep
from ganart_zoo.contract.models import StyleGenerator
from ganart_zoo.contract.rng import generator as seeded
from ganart_zoo.data import Crop, Data, open_data
from ganart_zoo.metrics import METRICS, PerceptualDistance, PooledFeatures, path_length
from ganart_zoo.metrics.table import measure
from ganart_zoo.running.calls import Steps
from ganart_zoo.running.environment import reproducible
from ganart_zoo.running.generators import LoadedGenerator, check_seeds
from ganart_zoo.running.latents import lerp, slerp
from ganart_zoo.tasks.comparison import (
    DEFAULT_BACKBONE,
    FEWEST,
    INCEPTION,
    BackboneChoice,
    Prompts,
    batches,
    class_map,
    default_side,
    generated_pictures,
    is_inception,
    load_backbone,
    real_features,
    report,
    row_labels,
)

__all__ = ["DEFAULT_BACKBONE", "INCEPTION", "Evaluation", "evaluate"]

_PAIRS = 256
"""Of pictures for diversity, and of latents for path length; fewer where fewer samples are asked for."""


@dataclass(frozen=True)
class Evaluation:
    """Values of all metrics, and the facts that must accompany them."""

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
    prompt: str | None = None,
    backbone: BackboneChoice = DEFAULT_BACKBONE,
    layer: str | None = None,
    side: int | None = None,
    crop: str | None = None,
    fetch: bool = False,
    on_step: OnStep | None = None,
) -> Evaluation:
    """Compare pictures of a generator with real ones.

    The pictures are those that `sample` makes of seeds `seed` to `seed + samples - 1`, rounded to 8 bits. As many real
    ones are taken, or all where there are fewer. A generator that has the data's classes, by name, is asked for the
    classes of these; any other takes its own in turn.

    Metrics: `frechet_distance` and `kernel_distance` (called `fid` and `kid` only on a backbone with weights and the
    capability `INCEPTION`), `precision` and `recall` (3 neighbours), `density` and `coverage` (5), `diversity` (mean
    perceptual distance of pairs of pictures) and `path_length` (perceptual; in w for a style generator, else along arcs
    in z).

    Features of the real pictures are kept in the zoo's cache folder by the hash of data, backbone and resizing.

    Args:
        generator: From `load_generator`.
        data: As `open_data` takes it.
        samples: Pictures to make; at least 10.
        seed: Of the first.
        prompt: What to paint, for a model that takes a text. None: where it needs one and the data has captions, these
            in turn.
        backbone: A name, or a mapping with `model`, `weights` and settings.
        layer: Of the backbone; None for the deepest but the class head.
        side: Pictures are scaled to this for the backbone, in pixels; None: 299 for Inception, else 128.
        crop: How real pictures become square; None: as the run was trained, else `"centre"`.
        fetch: Download missing weights of the backbone.
        on_step: Called with the progress. Its return value is ignored, because half an evaluation is of no use; raise
            to stop.

    Raises:
        GanartError: A setting or the data is not fit, or a model broke.
    """
    check_seeds(seed, samples)
    if samples < FEWEST:
        raise SettingsError(f"samples is {samples}, expected at least {FEWEST}")
    # Not refused by open_data, for it trusts its type.
    crop = _crop(generator) if crop is None else crop
    if crop not in get_args(Crop):
        raise SettingsError(f"crop is {crop!r}, expected one of {', '.join(get_args(Crop))}")
    pictures = open_data(data, getattr(generator.model.config, "resolution", None), crop=crop)  # type: ignore[arg-type]
    prompts = _prompts(generator, pictures, prompt)
    judge = load_backbone(generator.zoo, backbone, device=generator.model.device, fetch=fetch)
    side = default_side(generator.zoo, judge) if side is None else side
    features, perceptual = PooledFeatures(judge, layer, side), PerceptualDistance(judge, side=side)
    about = {"samples": samples, "seed": seed, "prompt": prompt, "data": str(data)}
    with generator.work("evaluate", about, on_step=on_step) as work:
        progress = work.steps
        real, real_labels, skipped = real_features(generator.zoo, pictures, samples, features, progress)
        labels = row_labels(generator, pictures, real_labels, samples)
        fake, diversity = _fake(generator, labels, prompts, seed, samples, features, perceptual, progress)
        lengths = _path_lengths(generator, labels, prompts, seed, samples, perceptual, progress)
        report(progress, 0, 1, "figures")
        metrics = measure(METRICS, real, fake, inception=is_inception(generator.zoo, judge))
        metrics |= {"diversity": diversity, "path_length": lengths}
        work.results["metrics"] = metrics
        report(progress, 1, 1, "figures")
    notes = []
    if min(samples, len(real)) <= features.dimensions:
        notes.append(
            f"fewer pictures than the {features.dimensions} numbers of a picture's features: the Fréchet distance is "
            "biased upwards; compare it only with one of the same counts"
        )
    if skipped:
        notes.append(f"{skipped} real pictures could not be read and were passed over")
    if generator.class_names and class_map(generator, pictures) is None:
        notes.append("the generator lacks classes of the data, so it was asked for all of its own in turn")
    return Evaluation(
        metrics, _about(generator, pictures, features, perceptual, len(real), about), tuple(notes), work.seconds
    )


def _prompts(generator: LoadedGenerator, data: Data, prompt: str | None) -> Prompts:
    can = generator.entry.spec.capabilities
    if prompt is None and "prompt" in can and "unconditional" not in can and data.prompts:
        return data.prompts
    generator.check_prompt(prompt)
    return None if prompt is None else (prompt,)


def _crop(generator: LoadedGenerator) -> str:
    """Return how the run of this generator cropped its data; `"centre"` for any other generator."""
    provenance = generator.model.provenance
    if provenance is None or provenance.part is None:
        return "centre"
    run = json.loads(Path(str(provenance.weights), "config.json").read_text(encoding="utf-8"))
    return str(run.get("data", {}).get("crop", "centre"))


def _fake(
    generator: LoadedGenerator,
    labels: list[int] | None,
    prompts: Prompts,
    seed: int,
    samples: int,
    features: PooledFeatures,
    perceptual: PerceptualDistance,
    progress: Steps,
) -> tuple[Tensor, float]:
    """Return the features of generated pictures, and the mean distance of the first pairs of them."""
    rows: list[Tensor] = []
    apart: list[Tensor] = []
    compared = min(samples, 2 * _PAIRS)
    done = 0
    for images in generated_pictures(generator, labels, prompts, seed, samples, task="evaluate", progress=progress):
        pairs = images[: max(0, compared - done) // 2 * 2]
        done += len(images)
        with reproducible(), torch.no_grad():
            if len(pairs):
                apart.append(perceptual(pairs[::2], pairs[1::2]))
            rows.append(features(images))
    return torch.cat(rows), float(torch.cat(apart).mean())


def _path_lengths(
    generator: LoadedGenerator,
    labels: list[int] | None,
    prompts: Prompts,
    seed: int,
    samples: int,
    perceptual: PerceptualDistance,
    progress: Steps,
) -> float:
    """Return the mean of the lengths of paths between neighbouring seeds, less the lowest and highest hundredth."""
    paths = min(samples // 2, _PAIRS)
    lengths: list[Tensor] = []
    rng = seeded(seed)
    for first, last in batches(paths):
        with generator.calls("evaluate", progress), torch.no_grad():
            starts = range(seed + 2 * first, seed + 2 * last, 2)
            condition = generator.rows_condition(range(2 * first, 2 * last, 2), labels, prompts)
            lengths.append(path_length(_along(generator, starts, condition), perceptual, last - first, rng=rng))
        report(progress, last, paths, "path length")
    all_lengths = torch.cat(lengths)
    low, high = torch.quantile(all_lengths, torch.tensor([0.01, 0.99]))
    return float(all_lengths[(all_lengths >= low) & (all_lengths <= high)].mean())


def _along(generator: LoadedGenerator, starts: range, condition: Condition | None) -> Callable[[Tensor], Tensor]:
    """Return what gives the pictures at fractions of the paths from each start to the next seed."""
    model = generator.model
    a, b = generator.latents(starts), generator.latents([seed + 1 for seed in starts])
    if isinstance(model, StyleGenerator):
        from_w, to_w = (generator.truncated(model.map(latents, condition)) for latents in (a, b))
        return lambda t: model.synthesize(lerp(from_w, to_w, t))

    def pictures(t: Tensor) -> Tensor:
        rows = [seeded(seed) for seed in starts]  # the same noise at every place of a path
        images: Tensor = model(slerp(a, b, t), condition, rng=rows, options=generator.options)
        return images

    return pictures


def _about(
    generator: LoadedGenerator,
    data: Data,
    features: PooledFeatures,
    perceptual: PerceptualDistance,
    reals: int,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    provenance = generator.model.provenance
    assert provenance is not None  # Zoo.create set it
    return {
        "model": provenance.to_json(),
        "options": generator.options.model_dump(mode="json"),
        "data": data.describe(),
        "samples": about["samples"],
        "reals": reals,
        "seed": about["seed"],
        "prompt": about["prompt"],
        "features": features.describe(),
        "perceptual_layers": list(perceptual.layers),
        "neighbours": {"precision_recall": 3, "density_coverage": 5},
        "pairs": min(about["samples"] // 2, _PAIRS),
    }
