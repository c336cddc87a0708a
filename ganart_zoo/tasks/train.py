"""The verb `train`: two models by name, and data, become a run folder, which is itself a model.

from pathlib import Path
from ganart_zoo import Zoo
from ganart_zoo.tasks.train import train
from ganart_zoo.training import TrainConfig

train(Zoo(), "ganart-dcgan/generator", "ganart-dcgan/critic", Path("pictures.npz"), Path("runs/first"),
      size=32, config=TrainConfig(steps=5000))
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import ganart_zoo
from ganart_zoo.contract.draws import key_seed
from ganart_zoo.contract.errors import ModelError, SettingsError
from ganart_zoo.contract.events import OnStep, RunEvent
from ganart_zoo.contract.models import Critic, Generator, Model
from ganart_zoo.data import Crop, Data, open_data
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.registry.runs import describe_parts
from ganart_zoo.tasks.measure import TrainingMetric
from ganart_zoo.training.gan.config import TrainConfig

if TYPE_CHECKING:
    from ganart_zoo.training.run import Metric, Trained

__all__ = ["train"]


def train(
    zoo: Zoo,
    generator: str,
    critic: str,
    data: Path,
    folder: Path,
    *,
    config: TrainConfig | None = None,
    size: int | None = None,
    crop: Crop = "centre",
    flip: bool = False,
    generator_settings: Mapping[str, Any] | None = None,
    critic_settings: Mapping[str, Any] | None = None,
    conditions: Sequence[str] | None = None,
    device: str = "cpu",
    fetch: bool = False,
    resume: bool = False,
    allow_changes: bool = False,
    metric: Metric | None = None,
    on_step: OnStep | None = None,
) -> Trained:
    """Train a generator against a critic.

    Args:
        zoo: Where models come from, and who hears of the events.
        generator: A name. Its `resolution` and `class_names`, where it has them, follow from the data.
        critic: A name; likewise.
        data: As `open_data` takes it.
        folder: The run folder.
        config: How to train; None for the defaults.
        size: Side of the pictures; None: as they are in an `.npz`.
        crop: How pictures become square.
        flip: Mirror every other picture.
        generator_settings: Its config and what it uses, by name; `weights` to start from, in place of none.
        critic_settings: Likewise.
        conditions: What both are told of each picture: of `"labels"` and `"prompt"`. None: all that the data and both
            networks have.
        device: `"cpu"` or `"cuda"`; with several processes, the launcher says which.
        fetch: Download missing weights of the models they use.
        resume: Go on with the run in `folder`.
        allow_changes: Do so with other settings than those it was begun with.
        metric: To know the best checkpoint by, in place of what `config.metric` says; see `Trainer`.
        on_step: Called after each step, on every process.

    Raises:
        GanartError: A name, a setting or the data is not fit, or training broke down; see `Trainer`.
    """
    try:
        from ganart_zoo.training.trainer import Trainer
    except ImportError as error:
        raise ModelError(f"training needs {error.name}; pip install 'ganart-zoo[train]'") from None

    config = config or TrainConfig()
    entries = (_entry(zoo, generator, "generator"), _entry(zoo, critic, "critic"))
    pictures = open_data(data, size, crop=crop, flip=flip)
    told = _conditions(entries, pictures, conditions)
    networks = [
        _untrained(zoo, entry, settings or {}, pictures, told, config.seed, fetch)
        for entry, settings in zip(entries, (generator_settings, critic_settings), strict=True)
    ]
    measured: dict[str, Any] = {}
    if config.metric.name and metric is None:
        metric = TrainingMetric(zoo, entries[0], config.metric, pictures, told, fetch=fetch)
        measured = {"metric": metric.describe()}
    parts = {network.kind: network.provenance for network in networks if network.provenance is not None}
    record = {
        **describe_parts(parts),
        **measured,
        "class_names": list(pictures.class_names) if "labels" in told else [],
        "made_with": {
            "ganart-zoo": ganart_zoo.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }

    def on_event(stage: str, path: Path | None, details: Mapping[str, Any]) -> None:
        zoo.emit(RunEvent("train", stage, entries[0].canonical, path, details))

    first, second = networks
    assert isinstance(first, Generator)  # their kinds say so, and the zoo holds them to that
    assert isinstance(second, Critic)
    trainer = Trainer(
        first,
        second,
        pictures,
        config,
        folder,
        device=device,
        conditions=told,
        record=record,
        metric=metric,
        on_step=on_step,
        on_event=on_event,
    )
    return trainer.fit(resume=resume, allow_changes=allow_changes)


def _entry(zoo: Zoo, name: str, kind: str) -> Entry:
    entry = zoo.entry(name)
    if entry.spec.kind != kind:
        raise SettingsError(
            f"{entry.canonical} is a {entry.spec.kind}, expected a {kind}; see ganart list --kind {kind}"
        )
    if "trainable" not in entry.spec.capabilities:
        raise SettingsError(f"{entry.canonical} does not say that it can be trained (capability 'trainable')")
    return entry


def _conditions(entries: Sequence[Entry], data: Data, asked: Sequence[str] | None) -> tuple[str, ...]:
    """Return what both networks are to be told, or say what does not fit."""
    of_data = [
        *(["labels"] if data.class_names else []),
        *(["prompt"] if data.prompts is not None else []),
    ]
    if asked is None:
        told = tuple(name for name in of_data if all(name in entry.spec.capabilities for entry in entries))
    else:
        told = tuple(asked)
    for name in told:
        if name not in ("labels", "prompt"):
            raise SettingsError(f"condition {name!r} is unknown, expected 'labels' or 'prompt'")
        if name not in of_data:
            raise SettingsError(f"the data has no {name}, and the networks are to be told them")
        for entry in entries:
            if name not in entry.spec.capabilities:
                raise SettingsError(f"{entry.canonical} takes no {name}; choose another, or leave that condition out")
    for entry in entries:
        can = entry.spec.capabilities
        needs = sorted({*can} & {"labels", "prompt"})
        if not told and needs and "unconditional" not in can:
            raise SettingsError(
                f"{entry.canonical} has to be told {' or '.join(needs)}, and the data or the other network has none"
            )
    return told


def _untrained(
    zoo: Zoo, entry: Entry, settings: Mapping[str, Any], data: Data, told: Sequence[str], seed: int, fetch: bool
) -> Model:
    """Build one network with what follows from the data, its first weights drawn from the seed."""
    known = zoo.settings(entry.canonical).config_names
    follows: dict[str, Any] = {"resolution": data.size}
    if "labels" in told:
        follows["class_names"] = data.class_names
    chosen = {name: value for name, value in follows.items() if name in known} | {"weights": None} | dict(settings)
    names = chosen.get("class_names")
    if "labels" in told and names is not None and len(names) != len(data.class_names):
        raise SettingsError(
            f"{entry.canonical}: class_names has {len(names)} names, and the data {len(data.class_names)} classes"
        )
    # built on the CPU, so that a seed gives the same first weights on every device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_seed(seed, entry.spec.kind))
        return zoo.create(entry.canonical, fetch=fetch, **chosen)
