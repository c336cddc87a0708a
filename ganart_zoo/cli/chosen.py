"""The models that a command line names, and how they are loaded. Reading and checking needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganart_zoo.cli.loading_torch import load_torch
from ganart_zoo.cli.settings import parse_settings, parse_used_model, weights_of
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry import Zoo
from ganart_zoo.registry.runs import part_of_kind, run_parts

if TYPE_CHECKING:
    from ganart_zoo.cli.long_work import LongWork
    from ganart_zoo.running.generators import LoadedGenerator
    from ganart_zoo.running.loaded import LoadOptions

__all__ = ["Chosen", "ChosenBackbone", "Loading", "find_model", "listed", "model_name", "seed_list"]


@dataclass(frozen=True)
class Loading:
    """How a command loads its model."""

    pairs: Sequence[str]
    """`NAME=VALUE` of `--set`."""
    weights: str
    device: str
    dtype: str | None
    fetch: bool

    def check(self, zoo: Zoo, name: str, flags: Mapping[str, str | None] | None = None) -> dict[str, Any]:
        """Return the settings of the model `name`, checked as far as possible before torch takes seconds to load."""
        settings = parse_settings(zoo, name, self.pairs, flags)
        zoo.options(name, **zoo.settings(name).sort(settings)[1])
        return settings

    def options(self, settings: Mapping[str, Any]) -> LoadOptions:
        """Return the keywords with which tasks load the model. Loads torch and sets up its allocator."""
        load_torch()
        import torch

        return {
            "settings": settings,
            "weights": weights_of(self.weights),
            "device": self.device,
            "dtype": None if self.dtype is None else getattr(torch, self.dtype),
            "fetch": self.fetch,
        }


@dataclass(frozen=True)
class Chosen:
    """The generator that a command line names."""

    model: str | Path
    loading: Loading

    def load(self, zoo: Zoo, flags: Mapping[str, str | None], work: LongWork) -> LoadedGenerator:
        """Check the settings, which takes no time, then load the generator, which takes seconds."""
        settings = self.loading.check(zoo, model_name(zoo, self.model, "generator"), flags)
        work.show(f"loading {self.model}")
        options = self.loading.options(settings)
        from ganart_zoo.running.generators import load_generator

        return load_generator(zoo, self.model, **options)


@dataclass(frozen=True)
class ChosenBackbone:
    """The backbone that a command line names."""

    model: str
    pairs: Sequence[str]

    def check(self, zoo: Zoo) -> dict[str, Any]:
        """Return it as tasks take it, `{"model": ..., **settings}`, with settings that exist."""
        return parse_used_model(zoo, self.model, self.pairs, flag="--backbone-set")


def find_model(text: str) -> str | Path:
    """Return the `Path` of a run where `text` is a folder with `config.json`, else the name of a model.

    A folder whose name cannot be a model's is taken for a run too, so that the error says what it lacks.
    """
    path = Path(text)
    looks_like_path = text.startswith((".", "/", "~")) or text.endswith("/")
    return path if (path / "config.json").is_file() or (looks_like_path and path.is_dir()) else text


def model_name(zoo: Zoo, model: str | Path, kind: str) -> str:
    """Return the name of the model itself, or of the network of this kind in the run."""
    return run_parts(model)[part_of_kind(zoo, model, kind)].model if isinstance(model, Path) else model


def listed(text: str | None) -> list[str] | None:
    """Return the items of `0,1` or `cat,dog`."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def seed_list(flag: str, text: str) -> list[int]:
    """Return the seeds of `0,1,5-8`: whole numbers, and ranges that include both ends.

    Raises:
        SettingsError: The text is not of that form; the message names `flag`.
    """
    seeds: list[int] = []
    for part in listed(text) or []:
        first, dash, last = part.partition("-")
        try:
            seeds += range(int(first), int(last) + 1) if dash else [int(first)]
        except ValueError:
            raise SettingsError(f"{flag} is {text!r}, expected whole numbers such as 0,1,5-8") from None
    return seeds
