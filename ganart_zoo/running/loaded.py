"""A model loaded for a task, whatever its kind: guarded calls, events of the work, and the record of a picture."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypedDict, TypeVar

import torch

from ganart_zoo.contract.defaults import standard_defaults
from ganart_zoo.contract.errors import GanartError, SettingsError
from ganart_zoo.contract.events import OnStep, RunEvent
from ganart_zoo.contract.models import Model
from ganart_zoo.imaging.record import InputFile, Record
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.registry.runs import part_of_kind, run_parts
from ganart_zoo.running.calls import Steps, broken_call
from ganart_zoo.running.environment import op_implementations, reproducible, versions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["LoadOptions", "Loaded", "Work", "find_entry", "recorded_model"]

M = TypeVar("M", bound=Model)
L = TypeVar("L", bound="Loaded[Any]")


_log = logging.getLogger("ganart_zoo")


class LoadOptions(TypedDict, total=False):
    """How a model is loaded."""

    settings: Mapping[str, Any] | None
    """By name: the model's config (not that of a run), the models it uses, and the options of its calls."""
    weights: str | Path | None
    """As `Zoo.create` takes them; the default is the variant `"default"`."""
    device: str | torch.device
    """Where the model computes; the default is the CPU."""
    dtype: torch.dtype | None
    """The compute type; None means float32."""
    fetch: bool
    """Download missing weights; the default is False."""


@dataclass(frozen=True, eq=False)
class Loaded(Generic[M]):
    """A model with the options of its calls."""

    zoo: Zoo
    """Its faults and the events of the work are reported here."""
    entry: Entry
    model: M
    options: Any

    kind: ClassVar[str]

    @classmethod
    def load(cls: type[L], zoo: Zoo, model: str | Path, **how: Unpack[LoadOptions]) -> L:
        """Load a model by its name, or the network of this kind from the `Path` of a run.

        Raises:
            GanartError: The model or a setting is not valid; see `Zoo.create`.
        """
        entry = find_entry(zoo, model, cls.kind)
        for_create, for_call = zoo.settings(entry.canonical).sort(how.get("settings") or {})
        options = zoo.options(entry.canonical, **for_call)
        created = zoo.shared(
            model if isinstance(model, Path) else entry.canonical,
            part=part_of_kind(zoo, model, cls.kind) if isinstance(model, Path) else None,
            weights=how.get("weights", "default"),
            device=how.get("device", "cpu"),
            dtype=how.get("dtype"),
            fetch=how.get("fetch", False),
            **for_create,
        )
        if how.get("weights", "default") is not None:
            _warn_if_untrained(entry, created)
        return cls(zoo, entry, created, options)

    @classmethod
    def load_recorded(cls: type[L], zoo: Zoo, record: Record, *, device: str, fetch: bool) -> L:
        """Load the model of a record, with the options of its call; errors as those of `load`."""
        model, how = recorded_model(record, device=device, fetch=fetch)
        return cls.load(zoo, model, **how)

    @contextmanager
    def calls(self, task: str, steps: Steps | None = None, size: tuple[int, int] | None = None) -> Iterator[None]:
        """Run calls of the model so that the same machine gives the same bits and failures name their owner.

        Args:
            task: The verb, for the fault.
            steps: What the model reports its steps to; an exception raised there is the user's own.
            size: Width and height of the picture, for the message when memory runs out. None: the resolution.

        Raises:
            PluginFaultError: The model broke.
            ModelError: Memory ran out.
        """
        try:
            with reproducible(), standard_defaults():
                yield
        except GanartError:
            raise
        except Exception as error:
            if steps is not None and error is steps.raised:
                raise
            side = getattr(self.model.config, "resolution", None)
            size = size or (None if side is None else (side, side))
            raise broken_call(self.zoo, self.entry, task, error, size) from error

    @contextmanager
    def work(
        self, task: str, details: Mapping[str, Any], *, path: Path | None = None, on_step: OnStep | None = None
    ) -> Iterator[Work]:
        """Announce that a task started, and when the block ends that it finished, was stopped, or failed.

        Within the block no default of the program changes a result; see `standard_defaults`.

        Args:
            task: The verb.
            details: JSON-ready facts, part of each event.
            path: The output.
            on_step: The user's callback.
        """
        work = Work(self, task, path, dict(details), Steps(on_step))
        work.announce("started")
        start = time.perf_counter()
        try:
            with standard_defaults():
                yield work
        except BaseException as error:
            work.announce("failed", error=f"{type(error).__name__}: {error}")
            raise
        work.seconds = time.perf_counter() - start
        work.announce("stopped" if work.stopped else "finished", seconds=work.seconds, **work.results)

    def record(self, task: str, seed: int, request: Mapping[str, Any], inputs: Sequence[InputFile] = ()) -> Record:
        """Return the record of a picture made with this model."""
        device = self.model.device
        assert self.model.provenance is not None  # Zoo.create set it
        return Record(
            task=task,
            model=self.model.provenance,
            options=self.options.model_dump(mode="json"),
            seed=seed,
            device=str(device),
            threads=torch.get_num_threads(),
            versions=versions(device),
            ops=op_implementations(device),
            inputs=tuple(inputs),
            request=request,
        )


@dataclass(eq=False)
class Work:
    """One task under way, from `Loaded.work`."""

    loaded: Loaded[Any]
    task: str
    path: Path | None
    details: dict[str, Any]
    steps: Steps
    """To be given to models as their `on_step`."""
    ended_early: bool = False
    """Set where the user's stop is not seen in `steps`."""
    results: dict[str, Any] = field(default_factory=dict)
    """JSON-ready facts that only the last event carries."""
    seconds: float = 0.0
    """How long the block took; known after it."""

    @property
    def stopped(self) -> bool:
        """Whether the user's `on_step` ended the work early."""
        return self.ended_early or self.steps.stopped_at is not None

    @contextmanager
    def calls(self, size: tuple[int, int] | None = None) -> Iterator[None]:
        """Guard calls of the model; see `Loaded.calls`."""
        with self.loaded.calls(self.task, self.steps, size):
            yield

    def saved(self) -> None:
        """Announce that the output is saved."""
        if self.path is not None:
            self.announce("saved")

    def announce(self, stage: str, **more: Any) -> None:
        """Send an event to the plugins that listen."""
        entry = self.loaded.entry
        self.loaded.zoo.emit(RunEvent(self.task, stage, entry.canonical, self.path, {**self.details, **more}))


def _warn_if_untrained(entry: Entry, model: Model) -> None:
    provenance = model.provenance
    learns = next(model.own_parameters(), None) is not None or bool(getattr(model, "remote_parameters", 0))
    if provenance is not None and not provenance.files and learns:
        _log.warning(
            "%s has no published weights, so it is untrained: give weights or a run, or none to accept that",
            entry.canonical,
        )


def find_entry(zoo: Zoo, model: str | Path, kind: str) -> Entry:
    """Return the declaration of the model with this name, or of the network of this kind in a run.

    Raises:
        GanartError: There is no such model or run, or the model is of another kind.
    """
    name = run_parts(model)[part_of_kind(zoo, model, kind)].model if isinstance(model, Path) else model
    entry = zoo.entry(name)
    if entry.spec.kind != kind:
        raise SettingsError(
            f"{entry.canonical} is a {entry.spec.kind}, expected a {kind}; see ganart list --kind {kind}"
        )
    return entry


def recorded_model(record: Record, *, device: str, fetch: bool) -> tuple[str | Path, LoadOptions]:
    """Return the model of a record and how it was loaded, with the options of its call.

    Raises:
        ModelError: A model that it uses was built by hand.
    """
    settings = {**record.model.to_settings(), **record.options}
    settings.pop("part", None)  # the network of a run follows from the kind
    model: str | Path = settings.pop("model")
    weights = settings.pop("weights", "default")
    dtype = getattr(torch, record.model.dtype)
    return model, LoadOptions(settings=settings, weights=weights, device=device, dtype=dtype, fetch=fetch)
