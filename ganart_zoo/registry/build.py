"""Builds a model and the models it uses: settings, factory, weights, device. Imports torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ganart_zoo.contract import models
from ganart_zoo.contract.errors import (
    GanartError,
    PluginFaultError,
    SettingsError,
    WeightsMissingError,
    did_you_mean,
)
from ganart_zoo.contract.models import Model
from ganart_zoo.contract.own_draws import OwnDraws, copy_of_global
from ganart_zoo.contract.provenance import Provenance
from ganart_zoo.contract.tensors import load_tensors, under
from ganart_zoo.registry.check import use_problem
from ganart_zoo.registry.names import Entry, RecipeEntry
from ganart_zoo.registry.runs import main_part, read_part
from ganart_zoo.registry.settings import ModelSettings, load_object
from ganart_zoo.registry.weights import ResolvedWeights

if TYPE_CHECKING:
    from ganart_zoo.registry.download import Progress
    from ganart_zoo.registry.zoo import Zoo

_log = logging.getLogger("ganart_zoo")

__all__ = ["Builder"]

BASE_CLASSES: dict[str, type[Model]] = {
    "generator": models.Generator,
    "critic": models.Critic,
    "style_transfer": models.StyleTransfer,
    "backbone": models.Backbone,
}


class Builder:
    """Builds one model for `Zoo.create`, and the models it uses, on one device and with one dtype."""

    def __init__(
        self,
        zoo: Zoo,
        device: torch.device,
        dtype: torch.dtype | None,
        fetch: bool | Progress,
        rng: torch.Generator | None = None,
    ) -> None:
        self._zoo = zoo
        self._rng = copy_of_global() if rng is None else rng
        self._device = device
        self._dtype = torch.float32 if dtype is None else dtype
        self._fetch = bool(fetch)
        self._progress = None if isinstance(fetch, bool) else fetch
        if not isinstance(self._dtype, torch.dtype) or not self._dtype.is_floating_point:
            raise SettingsError(f"dtype is {dtype!r}, expected a floating-point torch.dtype such as torch.bfloat16")

    def create(
        self, model: str | Path, part: str | None, weights: str | Path | None, settings: Mapping[str, Any]
    ) -> Model:
        """Build a model by name, or one network of a run folder. The arguments are those of `Zoo.create`."""
        if not isinstance(model, Path):
            if part is not None:
                raise SettingsError(
                    f"part is {part!r}, but {model!r} is the name of a model and not the Path of a run; leave part out"
                )
            return self.build(model, weights, settings)
        if weights != "default":
            raise SettingsError(f"weights is {weights!r}, but the run {model} has its own; leave it out")
        return self.run(model, part or main_part(model), settings)

    def run(self, folder: Path, part: str, settings: Mapping[str, Any]) -> Model:
        """Build one network of a run folder. `settings` may replace the models it uses but not its config."""
        described = read_part(folder, part)
        trained = described.provenance
        entry = self._zoo.entry(trained.model)
        if changed := [name for name in settings if name not in entry.spec.uses]:
            raise SettingsError(
                f"{folder}: {', '.join(changed)} cannot be changed, because the run was trained with its config"
            )
        if not described.file.is_file():
            raise WeightsMissingError(
                f"{described.file} is missing, and the run has no checkpoint; train it first: "
                f"ganart train --resume -o {folder}"
            )
        if described.step is not None:
            what = "the network" if described.prefix == part else "the average"
            _log.warning("%s has not finished; this is %s of step %d", folder, what, described.step)
        resolved = self._zoo.store.resolve(described.file, entry.spec, owner=entry.canonical, fetch=False)
        weights = replace(resolved, source=str(folder.absolute()))
        if entry.plugin.isolation is not None:
            return self._isolated(entry, folder, settings, part=part, weights="default")
        known = ModelSettings(entry)
        settings = {**trained.config, **trained.uses_settings(settings), **settings}
        self._refuse_unknown(known, settings)  # another version of the plugin may have renamed settings
        return self._build(known, settings, weights, (part, described.prefix))

    def build(self, name: str, weights: str | Path | None, settings: Mapping[str, Any]) -> Model:
        """Build the model called `name`. The arguments are those of `Zoo.create`."""
        entry = self._zoo.entry(name)
        known = ModelSettings(entry)
        self._refuse_unknown(known, settings)  # before anything is fetched
        if entry.plugin.isolation is not None:
            return self._isolated(entry, entry.canonical, settings, part=None, weights=weights)
        resolved = self._zoo.store.resolve(
            weights, entry.spec, owner=entry.canonical, fetch=self._fetch, progress=self._progress
        )
        return self._build(known, settings, resolved)

    def uses(self, entry: Entry | RecipeEntry, settings: Mapping[str, Any]) -> dict[str, Model]:
        """Build the models that a model or a recipe is built on: those in `settings` by key, else the defaults."""
        return {key: self._use(entry, key, settings) for key in entry.spec.uses}

    def _isolated(self, entry: Entry, model: str | Path, settings: Mapping[str, Any], **how: Any) -> Model:
        """Return a model that runs in the process of its distribution."""
        from ganart_zoo.registry.isolation.models import create_isolated

        how = {**how, "device": str(self._device), "dtype": self._dtype, "fetch": self._fetch}
        return create_isolated(self._zoo, entry, model, settings, self._rng, **how)

    def _build(
        self,
        known: ModelSettings,
        settings: Mapping[str, Any],
        weights: ResolvedWeights,
        of_run: tuple[str, str] | None = None,
    ) -> Model:
        entry = known.entry
        config = self._config(known, settings, weights)
        described = self._described(entry, config)
        uses = self.uses(entry, settings)
        model = self._make(entry, config, uses)
        if weights.files:
            self._load(entry, model, weights, None if of_run is None else of_run[1])
        model.to(self._device, self._dtype)
        model.eval().requires_grad_(False)
        model.provenance = Provenance(
            model=entry.canonical,
            version=entry.plugin.version,
            config=described,
            uses={key: used.provenance for key, used in uses.items()},
            weights=weights.source,
            part=None if of_run is None else of_run[0],
            files=dict(weights.sha256),
            dtype=str(self._dtype).removeprefix("torch."),
        )
        return model

    @staticmethod
    def _refuse_unknown(known: ModelSettings, settings: Mapping[str, Any]) -> None:
        for name in settings:
            if name in known.option_names:
                owner = known.entry.canonical
                raise SettingsError(
                    f"{owner}: {name} is an option of a call and not a setting of the model; pass it to the call"
                )
            if name not in known.config_names and name not in known.entry.spec.uses:
                raise known.unknown(name)

    def _config(self, known: ModelSettings, settings: Mapping[str, Any], weights: ResolvedWeights) -> Any:
        chosen = {name: value for name, value in settings.items() if name in known.config_names}
        config = known.config({**weights.config, **chosen})
        needed = known.config({**chosen, **weights.config})
        if config != needed:
            clash = [n for n in known.config_names if getattr(config, n) != getattr(needed, n)]
            what = ", ".join(f"{name}={getattr(needed, name)!r}" for name in clash)
            raise SettingsError(
                f"{known.entry.canonical}: weights {weights.source!r} need {what}; leave it out, or pass weights=None"
            )
        return config

    @staticmethod
    def _described(entry: Entry, config: Any) -> dict[str, Any]:
        """Return the config as JSON data for the record."""
        try:
            described: dict[str, Any] = config.model_dump(mode="json")
        except Exception as error:
            raise PluginFaultError(entry.fault("settings", error)) from error
        return described

    def _use(self, entry: Entry | RecipeEntry, key: str, settings: Mapping[str, Any]) -> Model:
        use = entry.spec.uses[key]
        requested = settings.get(key)
        if requested is None and use.default is not None:
            if problem := use_problem(self._zoo, entry, key):
                raise PluginFaultError(entry.fault("uses", problem))
            requested = use.default
        if requested is None:
            raise SettingsError(
                f"{entry.canonical} needs a {use.kind} for {key!r}; 'ganart list --kind {use.kind}' shows them"
            )
        if isinstance(requested, Model):
            model = self._checked_live(entry, key, requested)
        elif isinstance(requested, (str, Path)):
            model = self.create(requested, None, "default", {})
        elif isinstance(requested, Mapping) and "model" in requested:
            below = dict(requested)
            model = self.create(below.pop("model"), below.pop("part", None), below.pop("weights", "default"), below)
        else:
            raise SettingsError(
                f"{entry.canonical}: {key} is {requested!r:.80}, expected a name, "
                "a mapping with 'model', or a live model"
            )
        if not isinstance(model, BASE_CLASSES[use.kind]):
            raise SettingsError(f"{entry.canonical}: {key} is a {model.kind}, expected a {use.kind}")
        return model

    def _checked_live(self, entry: Entry | RecipeEntry, key: str, model: Model) -> Model:
        """Return the live model. One that would have to be moved or converted is refused: it may have other users."""
        here, there = (model.device, model.compute_dtype), (_placed(self._device), self._dtype)
        if here != there and next(chain(model.parameters(), model.buffers()), None) is not None:
            raise SettingsError(
                f"{entry.canonical}: {key} is a live model in {here[1]} on {here[0]}, but this model is to be in "
                f"{there[1]} on {there[0]}; give both the same device and dtype"
            )
        return model

    def _make(self, entry: Entry, config: Any, uses: Mapping[str, Model]) -> Model:
        factory = load_object(entry, entry.spec.factory, "factory")
        try:
            with OwnDraws(self._rng):
                model = factory(config, **uses)
        except (GanartError, KeyboardInterrupt):  # the model refuses its settings
            raise
        except BaseException as error:
            fault = entry.fault("factory", error)
            if isinstance(error, AttributeError) and error.obj is config:  # the declaration may name another class
                named = entry.spec.config or "none"
                fields = sorted(getattr(type(config), "model_fields", ()))
                has = ", ".join(fields) or "no fields"
                cause = f"it reads {error.name!r} of its config, but {named} has {has}"
                fault = replace(fault, cause=cause + did_you_mean(str(error.name), fields))
            raise PluginFaultError(fault) from error
        expected = BASE_CLASSES[entry.spec.kind]
        if not isinstance(model, expected):
            cause = f"{entry.spec.factory} returned a {type(model).__name__}, expected a {expected.__name__}"
            raise PluginFaultError(entry.fault("factory", cause))
        return model

    def _load(self, entry: Entry, model: Model, weights: ResolvedWeights, prefix: str | None) -> None:
        """Load weights; `prefix` is None but for a run's own state, whose names have it before them."""
        try:
            with OwnDraws(self._rng):  # a model may build its network only when it knows its weights
                if prefix is not None:
                    (path,) = weights.files.values()
                    tensors = load_tensors(path)
                    model.load_own_state(under(prefix, tensors) if prefix else tensors)
                else:
                    model.load_weights(weights.files, device=self._device, dtype=self._dtype)
        except (GanartError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise PluginFaultError(entry.fault("weights", error)) from error


def _placed(device: torch.device) -> torch.device:
    """Return the device that tensors moved to `device` are on: `"cuda"` means the current CUDA device."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device
