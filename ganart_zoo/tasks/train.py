"""The verb `train`: networks by name, and data, become a run folder, which is itself a model.

    from pathlib import Path
    from ganart_zoo import Zoo
    from ganart_zoo.tasks.train import train
    from ganart_zoo.training import TrainConfig

    train(Zoo(), "ganart-dcgan/generator", "ganart-dcgan/critic", Path("pictures.npz"), Path("runs/first"),
          size=32, config=TrainConfig(steps=5000))

`train` trains a generator against a critic; `train_recipe` trains by any recipe.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import ganart_zoo
from ganart_zoo.contract.defaults import standard_defaults
from ganart_zoo.contract.errors import GanartError, ModelError, SettingsError
from ganart_zoo.contract.events import OnStep, RunEvent
from ganart_zoo.data import Crop, open_data
from ganart_zoo.registry import Entry, RecipeEntry, Zoo
from ganart_zoo.registry.builtin import GAN
from ganart_zoo.registry.runs import describe_parts
from ganart_zoo.running.calls import Steps, broken_call
from ganart_zoo.tasks.measure import TrainingMetric

if TYPE_CHECKING:
    from ganart_zoo.training.gan.config import TrainConfig
    from ganart_zoo.training.run import Metric, Run, Trained
    from ganart_zoo.training.settings import RunSettings

__all__ = ["Training", "prepare", "train", "train_recipe"]


@dataclass(frozen=True)
class Training:
    """A training that is ready to start: every network is built, and everything fits."""

    recipe: RecipeEntry
    run: Run
    _zoo: Zoo
    _steps: Steps

    def fit(self, *, resume: bool = False, allow_changes: bool = False) -> Trained:
        """Train to the last step; see `Run.fit`.

        Raises:
            GanartError: What `Run.fit` raises.
            PluginFaultError: The recipe or a network broke.
        """
        try:
            return self.run.fit(resume=resume, allow_changes=allow_changes)
        except (GanartError, OSError):
            raise
        except Exception as error:
            if error is self._steps.raised:  # the caller's own
                raise
            raise broken_call(self._zoo, self.recipe, "train", error) from error

    def dry_run(self) -> dict[str, Any]:
        """Return what the recipe reports about the training to come, without writing anything.

        Raises:
            SettingsError: The recipe has no dry run.
        """
        return self.run.dry_run()


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
        zoo: Where models come from, and where events are sent.
        generator: A name. Its `resolution` and `class_names`, where it has them, follow from the data.
        critic: A name; likewise.
        data: A path that `open_data` accepts.
        folder: The run folder.
        config: How to train; None for the defaults.
        size: Side of the pictures; None: as they are in an `.npz`.
        crop: How pictures become square.
        flip: Mirror every other picture.
        generator_settings: Its config and the models it uses, by name; `weights` to start from, in place of none.
        critic_settings: Likewise.
        conditions: The conditions both networks get for each picture: of `"labels"` and `"prompt"`. None: all that the
            data and both networks have.
        device: `"cpu"` or `"cuda"`; with several processes, the launcher says which.
        fetch: Download missing weights of the models they use.
        resume: Go on with the run in `folder`.
        allow_changes: Resume with other settings than those the run was started with.
        metric: A metric by which the best checkpoint is known, in place of `config.metric`; see `Trainer`.
        on_step: Called after each step, on every process.

    Raises:
        GanartError: A name, a setting or the data does not fit, or training broke down; see `Trainer`.
    """
    prepared = prepare(
        zoo,
        GAN,
        {
            "generator": {"model": generator, **(generator_settings or {})},
            "critic": {"model": critic, **(critic_settings or {})},
        },
        data,
        folder,
        config=config,
        size=size,
        crop=crop,
        flip=flip,
        conditions=conditions,
        device=device,
        fetch=fetch,
        metric=metric,
        on_step=on_step,
    )
    return prepared.fit(resume=resume, allow_changes=allow_changes)


def train_recipe(
    zoo: Zoo,
    recipe: str,
    networks: Mapping[str, str | Mapping[str, Any]],
    data: Path,
    folder: Path,
    *,
    resume: bool = False,
    allow_changes: bool = False,
    **how: Any,
) -> Trained:
    """Train by any recipe.

    Args:
        zoo: Where the recipe and the models come from, and where events are sent.
        recipe: Its name.
        networks: Role -> a name, or `{"model": name, **settings}`; roles with a default model may be left out.
        data: A path that `open_data` accepts.
        folder: The run folder.
        resume: Go on with the run in `folder`.
        allow_changes: Resume with other settings than those the run was started with.
        **how: As `prepare` takes it.

    Raises:
        GanartError: A name, a setting or the data does not fit, or training broke down; see `Run`.
    """
    prepared = prepare(zoo, recipe, networks, data, folder, **how)
    return prepared.fit(resume=resume, allow_changes=allow_changes)


@standard_defaults()
def prepare(
    zoo: Zoo,
    recipe: str,
    networks: Mapping[str, str | Mapping[str, Any]],
    data: Path,
    folder: Path,
    *,
    config: RunSettings | None = None,
    uses: Mapping[str, Any] | None = None,
    size: int | None = None,
    crop: Crop = "centre",
    flip: bool = False,
    conditions: Sequence[str] | None = None,
    device: str = "cpu",
    fetch: bool = False,
    metric: Metric | None = None,
    on_step: OnStep | None = None,
) -> Training:
    """Build all that a training needs, and check that it fits; nothing is written yet.

    Args:
        zoo: Where the recipe and the models come from, and where events are sent.
        recipe: Its name.
        networks: Role -> a name, or `{"model": name, **settings}`; roles with a default model may be left out.
        data: A path that `open_data` accepts.
        folder: The run folder.
        config: An instance of the recipe's config class; None for the defaults.
        uses: Key of the recipe's `uses` -> a name, a mapping with `model`, or a live model; None for the defaults.
        size: Side of the pictures; None: as they are in an `.npz`.
        crop: How pictures become square.
        flip: Mirror every other picture.
        conditions: The conditions the networks get for each picture: of `"labels"` and `"prompt"`. None: all that the
            recipe, the data and every network have.
        device: `"cpu"` or `"cuda"`; with several processes, the launcher says which.
        fetch: Download missing weights.
        metric: A metric by which the best checkpoint is known, in place of `config.metric`; see `Run`.
        on_step: Called after each step, on every process.

    Raises:
        GanartError: A name, a setting or the data does not fit.
    """
    try:
        from ganart_zoo.training.build import build_network, build_recipe, recipe_class, used_conditions
        from ganart_zoo.training.run import Run
    except ImportError as error:
        raise ModelError(f"training needs {error.name}; pip install 'ganart-zoo[train]'") from None

    entry = zoo.recipe(recipe)
    factory = recipe_class(zoo, entry)
    config_class: Any = zoo.recipe_settings(entry.canonical).config_class
    config = config_class() if config is None else config
    if not isinstance(config, config_class):
        raise SettingsError(f"config is a {type(config).__name__}, expected a {config_class.__name__}")
    tables = _tables(entry, networks)
    entries = {role: _entry(zoo, entry, factory.requires, role, table["model"]) for role, table in tables.items()}
    if data.is_dir() and data.resolve() == folder.resolve():
        raise SettingsError(f"{folder}: is the folder of the pictures; choose another for the run, in it or beside it")
    pictures = open_data(data, size, crop=crop, flip=flip)
    used = used_conditions(factory, entries, pictures, conditions)
    built = {
        role: build_network(zoo, factory, entry, role, table, config, pictures, used, fetch=fetch)
        for role, table in tables.items()
    }
    learner = build_recipe(zoo, factory, entry, config, built, uses or {}, fetch=fetch)
    main = entries[entry.spec.main]
    measured: dict[str, Any] = {}
    if config.metric.name and metric is None:
        if main.spec.kind != "generator":
            raise SettingsError(f"training.metric measures a generator, and {main.canonical} is a {main.spec.kind}")
        metric = TrainingMetric(zoo, main, config.metric, pictures, used, fetch=fetch)
        measured = {"metric": metric.describe()}
    used_models = {key: each.provenance for key, each in learner.uses.items() if each.provenance is not None}
    record = {
        **describe_parts({role: each.provenance for role, each in built.items() if each.provenance is not None}),
        **({"uses": {key: each.to_json() for key, each in used_models.items()}} if used_models else {}),
        **measured,
        "class_names": list(pictures.class_names) if "labels" in used else [],
        "made_with": {
            "ganart-zoo": ganart_zoo.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }

    def on_event(stage: str, path: Path | None, details: Mapping[str, Any]) -> None:
        zoo.emit(RunEvent("train", stage, main.canonical, path, details))

    steps = Steps(on_step)
    run = Run(
        learner,
        pictures,
        folder,
        name=entry.canonical,
        main=entry.spec.main,
        device=device,
        conditions=used,
        record=record,
        metric=metric,
        on_step=None if on_step is None else steps,
        on_event=on_event,
    )
    return Training(entry, run, zoo, steps)


def _tables(recipe: RecipeEntry, networks: Mapping[str, str | Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return `{"model": ..., **settings}` for every role of the recipe, in its order."""
    if unknown := [role for role in networks if role not in recipe.spec.roles]:
        raise SettingsError(f"{recipe.canonical} has no network {unknown[0]!r}; it has {', '.join(recipe.spec.roles)}")
    tables: dict[str, dict[str, Any]] = {}
    for role, use in recipe.spec.roles.items():
        asked = networks.get(role, {})
        tables[role] = {"model": use.default, **({"model": asked} if isinstance(asked, str) else asked)}
        if tables[role]["model"] is None:
            raise SettingsError(f"{recipe.canonical} needs a {use.kind} as {role!r}, and has no default for it")
    return tables


def _entry(zoo: Zoo, recipe: RecipeEntry, requires: Mapping[str, Sequence[str]], role: str, name: str) -> Entry:
    entry, kind = zoo.entry(name), recipe.spec.roles[role].kind
    if entry.spec.kind != kind:
        raise SettingsError(
            f"{entry.canonical} is a {entry.spec.kind}, expected a {kind}; see ganart list --kind {kind}"
        )
    for capability in requires.get(role, ()):
        if capability not in entry.spec.capabilities:
            raise SettingsError(
                f"{entry.canonical} does not declare the capability {capability!r}, and the recipe "
                f"{recipe.spec.name} needs it in its {role}"
            )
    return entry
