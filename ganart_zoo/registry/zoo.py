"""The registry object, which knows the models that plugins offer and builds them. Torch-free until `create`."""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from packaging.utils import canonicalize_name

import ganart_zoo
from ganart_zoo.contract.errors import PluginFaultError, SettingsError, UnknownModelError, count_of, did_you_mean
from ganart_zoo.contract.events import RunEvent
from ganart_zoo.contract.fault import Fault
from ganart_zoo.contract.spec import CAPABILITIES, KINDS, STABILITIES, ModelSpec
from ganart_zoo.registry import discovery
from ganart_zoo.registry.builtin import builtin_recipes
from ganart_zoo.registry.cache import ModelCache, model_key
from ganart_zoo.registry.devices import find_device
from ganart_zoo.registry.disabled import disabled_plugins
from ganart_zoo.registry.discovery import Plugin
from ganart_zoo.registry.isolation import Isolates, Isolation, chosen_isolation
from ganart_zoo.registry.isolation.choice import WITHDRAWN
from ganart_zoo.registry.names import Entry, NameTable, RecipeEntry
from ganart_zoo.registry.settings import ModelSettings, RecipeSettings

if TYPE_CHECKING:
    import torch

    from ganart_zoo.contract.models import Model
    from ganart_zoo.registry.download import Progress
    from ganart_zoo.registry.weights import WeightsStore

    M = TypeVar("M", bound=Model)

__all__ = ["Zoo"]

_log = logging.getLogger("ganart_zoo")

_FIRST_WEIGHTS = 0
"""Seed of the weights of untrained models in tasks: they are the same in each process, and so are their pictures."""


class Zoo:
    """All models that the installed plugins offer.

    A process can have several. Reading is thread-safe. A plugin that fails becomes a `Fault` in `faults`, and the
    others keep working.

    Args:
        plugins: Modules or objects with hooks to use in place of discovery, for tests and embedders.
        strict: Whether to raise the first fault.
        disabled: Distributions or entry points to leave out; default: the comma-separated `GANART_DISABLE_PLUGINS`
            and, where plugins are discovered, what `ganart plugins disable` has listed.
        store: The store of the weights; default: `WeightsStore()`.
        isolate: Distributions whose models run in a process of their own, for inference only: `Isolation` by name, or
            texts `DIST` and `DIST=/path/to/python`; default: the comma-separated `GANART_ISOLATE`.

    Raises:
        PluginFaultError: A plugin is faulty and `strict` is set.
        SettingsError: `isolate` is not of that form.

    Example:
        >>> zoo = Zoo(plugins=[])
        >>> zoo.list(kind="generator")
        ()
    """

    def __init__(
        self,
        *,
        plugins: Iterable[Any] | None = None,
        strict: bool = False,
        disabled: Iterable[str] | None = None,
        store: WeightsStore | None = None,
        isolate: Mapping[str, Isolation] | Iterable[str] | None = None,
    ) -> None:
        if disabled is None:
            disabled = disabled_plugins(file=plugins is None)
        denied = {canonicalize_name(name.strip()) for name in disabled if name.strip()}
        self._given = None if plugins is None else tuple(plugins)
        plugins = self._given
        self._strict = strict
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._muted: set[str] = set()
        self._store = store
        self.isolates = Isolates(chosen_isolation(isolate))
        """The processes of isolated distributions."""
        self.models = ModelCache()
        """Models that `shared` keeps, within the budget that a program reserves."""
        loaded: list[Plugin] = []
        skipped: list[str] = []
        entries: list[Entry] = []
        recipes = list(builtin_recipes(ganart_zoo.__version__))
        for candidate in discovery.candidates(plugins):
            if {candidate.distribution, canonicalize_name(candidate.plugin)} & denied:
                skipped.append(candidate.distribution)
                continue
            if isinstance(candidate, Fault):
                self.report(candidate)
                continue
            try:
                plugin = discovery.load(candidate, ganart_zoo.__version__)
            except PluginFaultError as error:
                self.report(error.fault, error)
                continue
            isolation = self.isolates.chosen.get(plugin.distribution)
            plugin = replace(plugin, isolation=isolation) if isolation is not None else plugin
            loaded.append(plugin)
            for item in discovery.models(plugin):
                if isinstance(item, Fault):
                    self.report(item)
                else:
                    spec = item if isolation is None else replace(item, capabilities=item.capabilities - WITHDRAWN)
                    entries.append(Entry(spec, plugin))
            for recipe in discovery.recipes(plugin):
                if isinstance(recipe, Fault):
                    self.report(recipe)
                elif isolation is None:  # an isolated plugin trains nothing
                    recipes.append(RecipeEntry(recipe, plugin))
        self.plugins: tuple[Plugin, ...] = tuple(loaded)
        """The plugins that were loaded."""
        self.disabled: tuple[str, ...] = tuple(dict.fromkeys(skipped))
        """The distributions that `disabled` excludes."""
        if plugins is None:
            known = {candidate.distribution for candidate in loaded} | set(skipped)
            for name in self.isolates.chosen.keys() - known - {fault.distribution for fault in self._faults}:
                near = did_you_mean(name, known)
                self.report(
                    Fault(name, name, "isolation", f"it is to be isolated but no such plugin is installed{near}")
                )
        self._names = NameTable(entries)
        self._recipes = NameTable(recipes, "recipe")

    def __repr__(self) -> str:
        faults = f", {count_of(len(self.faults), 'fault')}" if self.faults else ""
        return f"<Zoo of {len(self._names.entries)} models from {len(self.plugins)} plugins{faults}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle how the zoo is made: another process discovers the plugins again."""
        return _make_zoo, self._made_from(self.isolates.chosen)

    def pickled_plain(self) -> bytes:
        """Return a pickle of how the zoo is made, without isolation: for the process of an isolated distribution."""
        return pickle.dumps((_make_zoo, self._made_from({})), protocol=5)

    def _made_from(self, isolate: Mapping[str, Isolation]) -> tuple[Any, ...]:
        plugins = None if self._given is None else [discovery.by_name(plugin) for plugin in self._given]
        return plugins, self._strict, self.disabled, self._store, dict(isolate)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults so far, in the order in which they were found; building a model can add faults."""
        with self._lock:
            return tuple(self._faults)

    @property
    def store(self) -> WeightsStore:
        """The weights on this machine."""
        if self._store is None:
            from ganart_zoo.registry.weights import WeightsStore

            self._store = WeightsStore()
        return self._store

    def list(
        self,
        *,
        kind: str | None = None,
        capability: str | None = None,
        plugin: str | None = None,
        stability: str | None = None,
    ) -> tuple[Entry, ...]:
        """Return the models with the given kind, capability, plugin and stability, sorted by canonical name.

        Raises:
            SettingsError: The kind, capability or stability is unknown.
        """
        if stability is not None and stability not in STABILITIES:
            near = did_you_mean(stability, STABILITIES)
            raise SettingsError(f"stability is {stability!r}, expected one of {', '.join(STABILITIES)}{near}")
        if kind is not None and kind not in KINDS:
            raise SettingsError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
        if capability is not None and capability not in CAPABILITIES and not capability.startswith("x-"):
            near = did_you_mean(capability, CAPABILITIES) or f"; there are {', '.join(CAPABILITIES)}"
            raise SettingsError(f"capability {capability!r} is unknown{near}")
        return tuple(
            entry
            for entry in self._names.entries
            if (kind is None or entry.spec.kind == kind)
            and (capability is None or capability in entry.spec.capabilities)
            and (plugin is None or canonicalize_name(plugin) == entry.plugin.distribution)
            and (stability is None or stability == entry.spec.stability)
        )

    def entry(self, name: str) -> Entry:
        """Return the model called `name`, canonical or short if that is unique, with its plugin.

        Raises:
            UnknownModelError: No model has that name.
            AmbiguousModelError: Several plugins offer a model with that short name.
        """
        try:
            return self._names.find(name)
        except UnknownModelError as error:
            if not self.faults:
                raise
            broken = ", ".join(dict.fromkeys(fault.distribution for fault in self.faults))
            raise UnknownModelError(f"{error}; run 'ganart doctor' to see what is wrong with {broken}") from None

    def spec(self, name: str) -> ModelSpec:
        """Return the declaration of the model called `name`."""
        return self.entry(name).spec

    def recipes(self, *, plugin: str | None = None) -> tuple[RecipeEntry, ...]:
        """Return the recipes of one distribution or of all, those of the core included, sorted by canonical name."""
        return tuple(
            entry
            for entry in self._recipes.entries
            if plugin is None or canonicalize_name(plugin) == entry.plugin.distribution
        )

    def recipe(self, name: str) -> RecipeEntry:
        """Return the recipe called `name`, canonical or short if that is unique, with its plugin.

        Raises:
            UnknownModelError: No recipe has that name.
            AmbiguousModelError: Several plugins offer a recipe with that short name.
        """
        try:
            return self._recipes.find(name)
        except UnknownModelError as error:
            distribution = name.partition("/")[0]
            if distribution in self.isolates.chosen:
                raise UnknownModelError(
                    f"{name} cannot train: {distribution} runs in a process of its own, which is for inference only"
                ) from None
            raise error

    def display_name(self, entry: Entry | RecipeEntry) -> str:
        """Return the shortest name that identifies this model or recipe."""
        return self._names.shortest(entry) if isinstance(entry, Entry) else self._recipes.shortest(entry)

    def recipe_settings(self, name: str) -> RecipeSettings:
        """Return the config class of a recipe, for help, schemas and checks.

        Raises:
            UnknownModelError, AmbiguousModelError: No recipe, or more than one, has that name.
            PluginFaultError: The config class is broken.
        """
        try:
            return RecipeSettings(self.recipe(name))
        except PluginFaultError as error:
            self.report(error.fault, error)
            raise

    def settings(self, name: str) -> ModelSettings:
        """Return the config and options classes of a model, for help, schemas and checks.

        Raises:
            PluginFaultError: The settings classes are broken.
        """
        try:
            return ModelSettings(self.entry(name))
        except PluginFaultError as error:
            self.report(error.fault, error)
            raise

    def options(self, name: str, /, **values: Any) -> Any:
        """Return checked options for a call of the model, as an instance of its options class.

        Raises:
            SettingsError: An option is unknown or out of range.
        """
        settings = self.settings(name)
        for key in values:
            if key not in settings.option_names:
                raise settings.unknown(key)
        try:
            return settings.options(values)
        except PluginFaultError as error:
            self.report(error.fault, error)
            raise

    def create(
        self,
        model: str | Path,
        *,
        part: str | None = None,
        weights: str | Path | None = "default",
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        fetch: bool | Progress = False,
        rng: torch.Generator | None = None,
        trusted: bool = True,
        **settings: Any,
    ) -> Model:
        """Build a model, ready to call: in eval mode, frozen, on its device.

        Args:
            model: A name, or the `Path` of a run folder.
            part: The network of a run, by its role. None means its main network, such as the generator of a GAN.
            weights: A variant, a file, a folder, `"hub:org/name@<commit>"`, or None for an untrained model. Must be
                left out for a run.
            device: The device of the model.
            dtype: Its compute dtype; None means float32. Pictures stay float32.
            fetch: Whether to download missing weights, also of the models it uses. A function does so too: it is
                called with the bytes that are there and the total (None if unknown) of each file in turn, and what it
                raises ends the download and is raised here. The next attempt goes on where it ended.
            rng: A CPU generator for the first weights of an untrained model. None: they are what torch's
                global generator would draw next, and it is not moved.
            trusted: Whether the author of the arguments may read files and use as much memory as there is. False
                applies `UntrustedPolicy`: names of models, declared weights, and bounded settings alone.
            **settings: Fields of its config, and keys of its `uses`: a name,
                `{"model": ..., "weights": ..., **settings}`, or a live model.

        Raises:
            UnknownModelError, AmbiguousModelError: No model, or more than one, has that name.
            SettingsError: A setting is unknown or out of range.
            ModelError: The folder is not a run.
            WeightsMissingError: Weights are not on this machine and `fetch` is False.
            WeightsError: A file is damaged or could not be fetched.
            PluginFaultError: The plugin failed; the fault is added to `faults`.
        """
        from ganart_zoo.contract.defaults import standard_defaults
        from ganart_zoo.registry.build import Builder

        if not trusted:
            from ganart_zoo.registry.untrusted import UntrustedPolicy

            UntrustedPolicy().check_model(self, model, weights=weights, settings=settings)
            if fetch or part is not None:
                raise SettingsError("fetch and part are not allowed for untrusted settings; leave them out")
        builder = Builder(self, find_device(device), dtype, fetch, rng)
        try:
            with standard_defaults():
                return builder.create(model, part, weights, settings)
        except PluginFaultError as error:
            self.report(error.fault, error)
            raise

    def create_as(self, kind: type[M], model: str | Path, /, **how: Any) -> M:
        """Build a model as `create` does, of a kind that type checkers then know.

        Args:
            kind: A class of `ganart_zoo.contract`, such as `StyleTransfer` or `StyleGenerator`.
            model: A name, or the `Path` of a run.
            **how: As for `create`.

        Raises:
            SettingsError: The model is of another kind.
            GanartError: As `create` says.
        """
        from ganart_zoo.registry.build import BASE_CLASSES

        if not isinstance(model, Path):
            spec = self.entry(model).spec
            base = BASE_CLASSES[spec.kind]
            if not issubclass(base, kind) and not issubclass(kind, base):
                raise SettingsError(f"{model} is a {spec.kind}, expected a {kind.__name__}")
        made = self.create(model, **how)
        if not isinstance(made, kind):
            raise SettingsError(f"{model} is a {type(made).__name__}, expected a {kind.__name__}")
        return made

    def shared(
        self,
        model: str | Path,
        *,
        part: str | None = None,
        weights: str | Path | None = "default",
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        fetch: bool = False,
        **settings: Any,
    ) -> Model:
        """Return a model as `create` builds it, and share it with whoever asks for the same.

        Tasks get their models here. Nothing is kept unless a program reserves a budget (`zoo.models.reserve`), as
        `service.Jobs` does. Models are called and never changed, so threads can share them. The weights of an untrained
        model are always the same. Arguments and errors are those of `create`.
        """
        from ganart_zoo.contract.rng import generator

        def make() -> Model:
            return self.create(
                model,
                part=part,
                weights=weights,
                device=device,
                dtype=dtype,
                fetch=fetch,
                rng=generator(_FIRST_WEIGHTS),
                **settings,
            )

        name = str(model) if isinstance(model, Path) else self.entry(model).canonical
        key = model_key(name, isinstance(model, Path), part, weights, str(device), str(dtype), settings)
        return self.models.get(key, name, make)

    def release(self, model: str | Path | None = None) -> int:
        """Drop models that are kept for sharing, and give memory that is not used back to the system.

        Args:
            model: Those of one name or run; None for all.

        Processes of isolated distributions end too, unless a call is under way; the next call starts a new one.

        Returns:
            The bytes of what was dropped. A model that is in use lives until its users drop it.
        """
        if model is None:
            self.isolates.end()
        elif not isinstance(model, Path):
            self.isolates.end(self.entry(model).plugin.distribution)
        name = None if model is None else str(model) if isinstance(model, Path) else self.entry(model).canonical
        return self.models.release(name)

    def emit(self, event: RunEvent) -> None:
        """Call the `ganart_run_event` hook of every plugin. A hook that raises is logged and no longer called."""
        for plugin in self.plugins:
            if plugin.distribution in self._muted or not plugin.implements("ganart_run_event"):
                continue
            try:
                plugin.hooks.ganart_run_event(event=event)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                with self._lock:
                    self._muted.add(plugin.distribution)
                fault = plugin.candidate.fault("ganart_run_event", error)
                self.report(fault, PluginFaultError(fault))
                _log.warning("%s; it will receive no more events", fault)

    def describe(self) -> dict[str, Any]:
        """Return all that the zoo offers as JSON data, for forms and protocols; torch-free.

        The keys: `version` (of this form, 1), `kinds`, `capabilities`, `models`, `recipes` and `faults`. A model has
        its names, kind, summary, licence, capabilities, `uses`, the variants of its `weights` with their licences, and
        `settings`, a JSON Schema of config, options and uses together.
        """
        from ganart_zoo.registry.catalogue import catalogue

        return catalogue(self)

    def check(self) -> tuple[Fault, ...]:
        """Check that factories, settings and default models exist, without torch. Return the faults that are new."""
        from ganart_zoo.registry.check import check_entry

        before = len(self.faults)
        entries: tuple[Entry | RecipeEntry, ...] = (*self._names.entries, *self._recipes.entries)
        for entry in entries:
            for fault in check_entry(self, entry):
                self.report(fault, PluginFaultError(fault))
        return self.faults[before:]

    def report(self, fault: Fault, error: PluginFaultError | None = None) -> None:
        """Add a fault to `faults`, and raise it if `strict` is set.

        Args:
            fault: The fault.
            error: The exception that carries it, if there is one.
        """
        with self._lock:
            if fault not in self._faults:
                self._faults.append(fault)
        if self._strict:
            raise error or PluginFaultError(fault)


def _make_zoo(
    plugins: Iterable[Any] | None,
    strict: bool,
    disabled: Iterable[str],
    store: WeightsStore | None,
    isolate: Mapping[str, Isolation] | None = None,
) -> Zoo:
    found = None if plugins is None else [discovery.from_name(plugin) for plugin in plugins]
    return Zoo(plugins=found, strict=strict, disabled=disabled, store=store, isolate=isolate or {})
