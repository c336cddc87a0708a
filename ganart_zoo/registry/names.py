"""Model names: canonical `distribution/model`, and the short name while it is unique. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ganart_zoo.contract.errors import AmbiguousModelError, UnknownModelError, did_you_mean
from ganart_zoo.contract.spec import ModelSpec
from ganart_zoo.registry.discovery import Plugin

__all__ = ["Entry", "NameTable"]


@dataclass(frozen=True)
class Entry:
    """A model in the registry."""

    spec: ModelSpec
    plugin: Plugin

    @property
    def canonical(self) -> str:
        """`distribution/model`, unique among what is installed."""
        return f"{self.plugin.distribution}/{self.spec.name}"


class NameTable:
    """Finds entries by canonical or short name."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(sorted(entries, key=lambda entry: entry.canonical))
        self._canonical = {entry.canonical: entry for entry in self.entries}
        self._short: dict[str, list[Entry]] = {}
        for entry in self.entries:
            self._short.setdefault(entry.spec.name, []).append(entry)

    def find(self, name: str) -> Entry:
        """Return the entry called `name`.

        Raises:
            AmbiguousModelError: A short name with several owners; the message lists them.
            UnknownModelError: Nothing has that name; the message gives near misses.
        """
        if name in self._canonical:
            return self._canonical[name]
        owners = self._short.get(name, [])
        if len(owners) == 1:
            return owners[0]
        if owners:
            names = ", ".join(entry.canonical for entry in owners)
            raise AmbiguousModelError(f"model {name!r} is offered by several plugins; name one of {names}")
        if not self.entries:
            raise UnknownModelError(
                f"model {name!r} is unknown: no plugin is installed; 'ganart doctor' says what was found"
            )
        near = did_you_mean(name, [*self._short, *self._canonical])
        raise UnknownModelError(f"model {name!r} is unknown{near or '; ganart list shows what is installed'}")

    def shortest(self, entry: Entry) -> str:
        """Return the short name where it is unique, else the canonical one."""
        return entry.spec.name if len(self._short[entry.spec.name]) == 1 else entry.canonical
