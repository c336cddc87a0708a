"""Builds a model and those it uses: settings, factory, weights, device. The one registry module that imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ganart_zoo.contract import models
from ganart_zoo.contract.errors import GanartError, ModelError, PluginFaultError, SettingsError, WeightsMissingError
from ganart_zoo.contract.models import Model
from ganart_zoo.contract.provenance import Provenance
from ganart_zoo.contract.tensors import load_tensors
from ganart_zoo.registry.names import Entry
from ganart_zoo.registry.runs import read_part
from ganart_zoo.registry.settings import ModelSettings, load_object, validate
from ganart_zoo.registry.weights import ResolvedWeights

if TYPE_CHECKING:
    from ganart_zoo.registry.zoo import Zoo

__all__ = ["Builder"]

_BASE_CLASSES: dict[str, type[Model]] = {
    "generator": models.Generator,
    "critic": models.Critic,
    "style_transfer": models.StyleTransfer,
    "backbone": models.Backbone,
}


class Builder:
    """Builds one model for `Zoo.create`, and the tree of models below it on the same device and type."""

    def __init__(self, zoo: Zoo, device: torch.device, dtype: torch.dtype | None, fetch: bool) -> None:
        self._zoo = zoo
        self._device = device
        self._dtype = torch.float32 if dtype is None else dtype
        self._fetch = fetch
        self._above: list[str] = []
        """Canonical names from the root down to the model being built, to see a circle."""
        if not isinstance(self._dtype, torch.dtype) or not self._dtype.is_floating_point:
            raise SettingsError(f"dtype is {dtype!r}, expected a floating-point torch.dtype such as torch.bfloat16")

    def run(self, folder: Path, part: str, settings: Mapping[str, Any]) -> Model:
        """Build one network of a run folder; `settings` may replace the models it uses, not its config."""
        described = read_part(folder, part)
        entry = self._zoo.entry(described.model)
        if changed := [name for name in settings if name not in entry.spec.uses]:
            raise SettingsError(f"{folder}: {', '.join(changed)} cannot be changed; a run was trained with its config")
        if not described.file.is_file():
            raise WeightsMissingError(f"{described.file} is missing; the run has not finished or was damaged")
        resolved = self._zoo.store.resolve(described.file, entry.spec, owner=entry.canonical, fetch=False)
        return self._build(entry, {**described.config, **described.uses, **settings}, resolved, own_state=True)

    def build(self, name: str, weights: str | Path | None, settings: Mapping[str, Any]) -> Model:
        """Build the model called `name`; arguments as `Zoo.create` takes them."""
        entry = self._zoo.entry(name)
        resolved = self._zoo.store.resolve(weights, entry.spec, owner=entry.canonical, fetch=self._fetch)
        return self._build(entry, settings, resolved)

    def _build(
        self, entry: Entry, settings: Mapping[str, Any], weights: ResolvedWeights, *, own_state: bool = False
    ) -> Model:
        if entry.canonical in self._above:
            raise ModelError(f"models use each other in a circle: {' -> '.join([*self._above, entry.canonical])}")
        self._above.append(entry.canonical)
        try:
            known = ModelSettings(entry)
            config = self._config(known, settings, weights)
            uses = {key: self._use(entry, key, settings) for key in entry.spec.uses}
            model = self._make(entry, config, uses)
            if weights.files:
                self._load(entry, model, weights, own_state)
        finally:
            self._above.pop()
        model.to(self._device, self._dtype)
        model.eval().requires_grad_(False)
        model.provenance = Provenance(
            model=entry.canonical,
            version=entry.plugin.version,
            config=config.model_dump(mode="json"),
            uses={key: used.provenance for key, used in uses.items()},
            weights=weights.source,
            files=dict(weights.sha256),
            dtype=str(self._dtype).removeprefix("torch."),
        )
        return model

    def _config(self, known: ModelSettings, settings: Mapping[str, Any], weights: ResolvedWeights) -> Any:
        owner = known.entry.canonical
        for name in settings:
            if name in known.option_names:
                raise SettingsError(f"{owner}: {name} is an option of a call, not of the model; give it to the call")
            if name not in known.config_names and name not in known.entry.spec.uses:
                raise known.unknown(name)
        chosen = {name: value for name, value in settings.items() if name in known.config_names}
        config = validate(known.config_class, {**weights.config, **chosen}, owner)
        needed = validate(known.config_class, {**chosen, **weights.config}, owner)
        if config != needed:
            clash = [n for n in known.config_names if getattr(config, n) != getattr(needed, n)]
            what = ", ".join(f"{name}={getattr(needed, name)!r}" for name in clash)
            raise SettingsError(f"{owner}: weights {weights.source!r} need {what}; leave it out, or pass weights=None")
        return config

    def _use(self, entry: Entry, key: str, settings: Mapping[str, Any]) -> Model:
        use = entry.spec.uses[key]
        asked = settings.get(key, use.default)
        if asked is None:
            raise SettingsError(
                f"{entry.canonical} needs a {use.kind} for {key!r}; 'ganart list --kind {use.kind}' shows them"
            )
        if isinstance(asked, Model):
            model = asked
        elif isinstance(asked, (str, Path)):
            model = self._below(asked, {})
        elif isinstance(asked, Mapping) and "model" in asked:
            model = self._below(asked["model"], {name: value for name, value in asked.items() if name != "model"})
        else:
            raise SettingsError(
                f"{entry.canonical}: {key} is {asked!r:.80}, expected a name, a mapping with 'model', or a live model"
            )
        if not isinstance(model, _BASE_CLASSES[use.kind]):
            raise SettingsError(f"{entry.canonical}: {key} is a {model.kind}, expected a {use.kind}")
        return model

    def _below(self, name: str | Path, settings: Mapping[str, Any]) -> Model:
        settings = dict(settings)
        if isinstance(name, Path):
            return self.run(name, settings.pop("part", "generator"), settings)
        return self.build(name, settings.pop("weights", "default"), settings)

    def _make(self, entry: Entry, config: Any, uses: Mapping[str, Model]) -> Model:
        fault = entry.plugin.candidate.fault
        factory = load_object(entry, entry.spec.factory, "factory")
        try:
            model = factory(config, **uses)
        except (GanartError, KeyboardInterrupt):  # the model's own word on its settings
            raise
        except BaseException as error:
            raise PluginFaultError(fault("factory", error, entry.spec.name)) from error
        expected = _BASE_CLASSES[entry.spec.kind]
        if not isinstance(model, expected):
            cause = f"{entry.spec.factory} made a {type(model).__name__}, expected a {expected.__name__}"
            raise PluginFaultError(fault("factory", cause, entry.spec.name))
        return model

    def _load(self, entry: Entry, model: Model, weights: ResolvedWeights, own_state: bool) -> None:
        try:
            if own_state:
                (path,) = weights.files.values()
                model.load_own_state(load_tensors(path))
            else:
                model.load_weights(weights.files, device=self._device, dtype=self._dtype)
        except (GanartError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise PluginFaultError(entry.plugin.candidate.fault("weights", error, entry.spec.name)) from error
