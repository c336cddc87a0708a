"""The models that a server offers, described for its clients."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ganart_zoo.contract.errors import GanartError, SettingsError, did_you_mean
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.registry.untrusted import UntrustedPolicy
from ganart_zoo.running.defaults import default_generator
from ganart_zoo.running.stylists import DEFAULT_MODEL
from ganart_zoo.service.http.requests import Asked
from ganart_zoo.service.http.settings import ServeSettings

__all__ = ["Catalogue"]

_log = logging.getLogger("ganart_zoo")

_KINDS = {
    "stylize": "style_transfer",
    "dream": "style_transfer",
    "imagine": "generator",
    "sample": "generator",
    "interpolate": "generator",
    "mix": "generator",
}


class Catalogue:
    """The models of a zoo that the settings allow.

    Raises:
        UnknownModelError: The settings name a model that is not installed.
    """

    def __init__(self, zoo: Zoo, settings: ServeSettings) -> None:
        self._zoo, self._settings = zoo, settings
        self._lock = threading.Lock()
        entries = [zoo.entry(name) for name in settings.models] or list(zoo.list())
        self._policy = UntrustedPolicy(
            models=[entry.canonical for entry in entries], side=settings.size, pictures=settings.count
        )
        self._entries = {entry.canonical: entry for entry in entries}

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """The kind of each model that requests may name, by canonical and display name."""
        names = {}
        for canonical, entry in self._entries.items():
            names[canonical] = names[self._zoo.display_name(entry)] = entry.spec.kind
        return names

    def check(self, verb: str, asked: Asked) -> str:
        """Return the canonical name of the model that a request uses.

        Raises:
            SettingsError: The model, its weights or a setting is not one that the server allows.
        """
        name = asked.model or self._default(verb)
        if name not in self.kinds:
            known = [one for one, kind in self.kinds.items() if kind == _KINDS[verb]]
            raise SettingsError(f"model {name!r} is not one that this server offers{did_you_mean(name, known)}")
        entry = self._zoo.entry(name)
        self._policy.check_model(
            self._zoo, entry.canonical, weights=asked.weights or "default", settings=asked.settings
        )
        if not self._is_ready(entry):
            raise SettingsError(f"{name} has no weights on this server; choose another model")
        return entry.canonical

    def describe(self) -> list[dict[str, Any]]:
        """Return all models as JSON data, those with their weights here marked as ready."""
        with self._lock:
            return self._described

    @cached_property
    def _described(self) -> list[dict[str, Any]]:
        return [self._describe(entry) for entry in self._entries.values()]

    def _default(self, verb: str) -> str:
        if verb == "stylize":
            return DEFAULT_MODEL
        if verb == "dream":
            from ganart_zoo.tasks.dream import DEFAULT_MODEL as DREAMER

            return DREAMER
        return default_generator(self._zoo)

    def _describe(self, entry: Entry) -> dict[str, Any]:
        spec, settings = entry.spec, self._zoo.settings(entry.canonical)
        ready = self._is_ready(entry)
        return {
            "name": self._zoo.display_name(entry),
            "canonical": entry.canonical,
            "kind": spec.kind,
            "summary": spec.summary,
            "license": spec.license,
            "paper": spec.paper,
            "distribution": entry.plugin.distribution,
            "version": entry.plugin.version,
            "capabilities": sorted(spec.capabilities),
            "ready": ready,
            "styles": self._styles(entry) if ready and "named_styles" in spec.capabilities else [],
            "weights": [
                {
                    "variant": variant.name,
                    "license": ", ".join(sorted({file.license for file in variant.files if file.license})),
                    "training_data": ", ".join(sorted({f.training_data for f in variant.files if f.training_data})),
                    "state": "here" if all(self._zoo.store.locate(file) for file in variant.files) else "missing",
                }
                for variant in spec.weights
            ],
            "config_schema": settings.config_class.model_json_schema(),
            "options_schema": settings.options_class.model_json_schema(),
        }

    def _styles(self, entry: Entry) -> list[str]:
        try:
            model: Any = self._zoo.create(entry.canonical)
        except GanartError as error:
            _log.warning("%s: its styles are not known (%s)", entry.canonical, error)
            return []
        return list(model.style_names)

    def _is_ready(self, entry: Entry) -> bool:
        """Return whether the model works as it stands: its weights are here, or it needs none, and so on downwards."""
        spec = entry.spec
        if not spec.weights and (spec.folder or "trainable" in spec.capabilities):
            return False
        try:
            self._zoo.store.resolve("default", spec, owner=entry.canonical, fetch=False)
            return all(
                use.default is None or self._is_ready(self._zoo.entry(use.default)) for use in spec.uses.values()
            )
        except GanartError:
            return False
