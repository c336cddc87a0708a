"""Names of models and recipes: canonical `distribution/name`, and the short name while it is unique. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar

from ganart_zoo.contract.errors import AmbiguousModelError, UnknownModelError, did_you_mean
from ganart_zoo.contract.fault import Fault
from ganart_zoo.contract.recipes import RecipeSpec
from ganart_zoo.contract.spec import ModelSpec
from ganart_zoo.registry.discovery import Plugin

__all__ = ["Entry", "NameTable", "RecipeEntry"]

_Spec = TypeVar("_Spec", ModelSpec, RecipeSpec)


@dataclass(frozen=True, repr=False)
class _Offer(Generic[_Spec]):
    spec: _Spec
    plugin: Plugin
    noun: ClassVar[Literal["model", "recipe"]]

    def __repr__(self) -> str:
        what = getattr(self.spec, "kind", self.noun)
        return f"<{type(self).__name__} {self.canonical}, a {what}>"

    @property
    def canonical(self) -> str:
        """`distribution/name`, unique among what is installed."""
        return f"{self.plugin.distribution}/{self.spec.name}"

    def fault(self, stage: str, cause: str | BaseException) -> Fault:
        """Return a fault of the plugin that concerns this entry."""
        return self.plugin.candidate.fault(stage, cause, **{self.noun: self.spec.name})


class Entry(_Offer[ModelSpec]):
    """A model in the registry."""

    noun = "model"


class RecipeEntry(_Offer[RecipeSpec]):
    """A recipe in the registry."""

    noun = "recipe"


_Entry = TypeVar("_Entry", Entry, RecipeEntry)


class NameTable(Generic[_Entry]):
    """Finds entries by canonical or short name."""

    def __init__(self, entries: Iterable[_Entry], noun: str = "model") -> None:
        self.entries: tuple[_Entry, ...] = tuple(sorted(entries, key=lambda entry: entry.canonical))
        self._noun = noun
        self._canonical: dict[str, _Entry] = {entry.canonical: entry for entry in self.entries}
        self._short: dict[str, list[_Entry]] = {}
        for entry in self.entries:
            self._short.setdefault(entry.spec.name, []).append(entry)

    def find(self, name: str) -> _Entry:
        """Return the entry called `name`.

        Raises:
            AmbiguousModelError: Several plugins offer that short name; the message lists them.
            UnknownModelError: No model has that name; the message gives similar names.
        """
        if name in self._canonical:
            return self._canonical[name]
        owners = self._short.get(name, [])
        if len(owners) == 1:
            return owners[0]
        if owners:
            names = ", ".join(entry.canonical for entry in owners)
            raise AmbiguousModelError(f"{self._noun} {name!r} is offered by several plugins; use one of {names}")
        if not self.entries:
            raise UnknownModelError(
                f"{self._noun} {name!r} is unknown: no plugin is installed; run 'ganart doctor' to see why"
            )
        near = did_you_mean(name, [*self._short, *self._canonical])
        raise UnknownModelError(f"{self._noun} {name!r} is unknown{near or '; ganart list shows what is installed'}")

    def shortest(self, entry: _Entry) -> str:
        """Return the short name if it is unique, else the canonical name."""
        return entry.spec.name if len(self._short[entry.spec.name]) == 1 else entry.canonical
