"""The run: a folder that a training fills, and the loop around a recipe's steps that journals, saves and stops.

Nothing random has a state that outlives a step (see `contract.draws`), and checkpoints are taken between steps. So a
run that was killed and resumed has, on the same machine and thread count, the weights of one that was not, bit by bit.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object  # type: ignore[import-untyped]
from torch import Tensor

from ganart_zoo.contract.defaults import standard_defaults
from ganart_zoo.contract.draws import key_seed
from ganart_zoo.contract.errors import GanartError, ModelError, SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.contract.models import Model
from ganart_zoo.contract.tensors import load_tensors
from ganart_zoo.data.pictures import Batch, Data
from ganart_zoo.imaging.files import write_text
from ganart_zoo.imaging.grid import to_grid
from ganart_zoo.registry.builtin import GAN
from ganart_zoo.training.card import model_card
from ganart_zoo.training.checkpoint import Checkpoints, write_tensors
from ganart_zoo.training.engine import Engine
from ganart_zoo.training.journal import Journal, read_skipped
from ganart_zoo.training.launch import sole_writer
from ganart_zoo.training.recipe import Recipe

_log = logging.getLogger("ganart_zoo")

__all__ = ["Metric", "OnEvent", "Run", "Trained"]

Metric = Callable[[Any], Mapping[str, Any]]
"""Measures the average of the main network, in eval mode. The first value decides, and the rest is only logged.

The lower the value, the better, unless the callable has an attribute `higher_is_better` that is true.
"""

OnEvent = Callable[[str, "Path | None", Mapping[str, Any]], None]
"""Called with the stage, as `RunEvent` has it, what was saved, and details."""

_MAY_DIFFER = ("made_with", "data.path", "training.workers", "training.log_every")
"""Entries of `config.json` that may differ when a run is resumed: nothing learned depends on them."""

_CONFIG = "config.json"
_CARD = "README.md"


@dataclass(frozen=True)
class Trained:
    """The outcome of a call of `Run.fit`."""

    folder: Path
    step: int
    """Steps done."""
    finished: bool
    """False where `on_step` ended it early."""
    seconds: float
    """Over all calls, as far as checkpoints kept count."""
    skipped: tuple[str, ...]
    """Pictures that could not be read, and why."""
    new: bool = True
    """False where the run was finished already, so that nothing was done."""


class Run:
    """Trains the networks of a recipe, in a run folder.

    Args:
        recipe: Its networks are trained in place; the run keeps the moving average of those that it averages.
        data: What to learn from.
        folder: The run folder, which is created if needed.
        name: The canonical name of the recipe.
        main: The role whose network the run stands for.
        device: `"cpu"`, or `"cuda"` for what the launcher gives this process.
        conditions: Which conditions of a picture the networks get: of `"labels"` and `"prompt"`.
        record: JSON-ready facts for `config.json`, such as `registry.runs.describe_parts` gives.
        metric: Measured every `config.evaluate_every` steps, to know the best checkpoint.
        on_step: Called after each step, on every process, with the losses logged last; returning False ends it all.
        on_event: Called on the first process.

    Raises:
        SettingsError: The device is not there; the data lacks a condition; the batch does not divide among processes;
            or the recipe finds that something does not fit.
        ModelError: The networks and the data do not fit, or have nothing to train.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Data,
        folder: Path,
        *,
        name: str = GAN,
        main: str = "generator",
        device: str = "cpu",
        conditions: Sequence[str] = (),
        record: Mapping[str, Any] | None = None,
        metric: Metric | None = None,
        on_step: OnStep | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        config = recipe.config
        if config.metric.name and metric is None:
            raise SettingsError("training.metric is set, and no metric was given: train with tasks.train, or give one")
        self._recipe = recipe
        self._config = config
        self._data = data
        self._folder = folder
        self._record = {
            **(record or {}),
            "recipe": name,
            "main": main,
            "training": config.model_dump(mode="json"),
            "data": data.describe(),
            "conditions": sorted(conditions),
        }
        self._measures = metric is not None or type(recipe).measure is not Recipe.measure
        self._metric, self._on_step, self._on_event = metric, on_step, on_event
        self._engine = Engine(recipe, data, device, conditions, main)
        self._first = self._engine.is_first
        self._kept = (*(f"{role}.safetensors" for role in self._engine.results()), _CARD)
        self._checkpoints = Checkpoints(folder / "checkpoints", config.keep)
        self._seconds = 0.0
        self._positions: list[Any] | None = None
        self._best: dict[str, float] | None = None
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._losses: dict[str, float] = {}
        self._unread: list[str] = []
        self._stop = False

    @property
    def _step(self) -> int:
        return self._engine.steps_done

    @property
    def model(self) -> Model:
        """The moving average of the main network, in eval mode."""
        return self._engine.results()[self._engine.main]

    def fit(self, *, resume: bool = False, allow_changes: bool = False) -> Trained:
        """Train to the last step, or until `on_step` says stop. A run that is finished already stays as it is.

        Args:
            resume: Continue from the newest checkpoint of the folder, or from the start if there is none.
            allow_changes: Resume although the settings differ from those the run was started with.

        Raises:
            SettingsError: The folder holds a run and `resume` is off, or a run with other settings; or another training
                is writing it.
            ModelError: A loss or a weight is no longer finite, or a file cannot be written.
            ImageError: No picture can be read.
        """
        with standard_defaults(), torch.enable_grad(), self._folder_held():
            self._begin(resume, allow_changes)
            if self._is_finished():
                self.model.load_own_state(load_tensors(self._folder / self._kept[0]))
                return Trained(self._folder, self._step, True, self._seconds, read_skipped(self._folder), new=False)
            return self._train()

    def dry_run(self) -> dict[str, Any]:
        """Return what the recipe reports about the training to come; nothing is written.

        Raises:
            SettingsError: The recipe has no dry run.
        """
        with standard_defaults(), torch.enable_grad():
            return dict(self._recipe.dry_run())

    def _train(self) -> Trained:
        if self._first:
            text = json.dumps(self._record, indent=2, ensure_ascii=False)
            write_text(self._folder / _CONFIG, f"{text}\n", alone=True)
        journal: Journal | None = None
        began = time.monotonic() - self._seconds
        self._emit("started", None, {"step": self._step, "steps": self._config.steps})
        try:
            if self._first:
                journal = Journal(self._folder, self._step)
            with torch.random.fork_rng(devices=self._devices()):
                batches = self._batches()
                while self._step < self._config.steps and not self._stop:
                    self._train_step(batches)
                    self._seconds = time.monotonic() - began
                    self._keep_books(journal)
            self._finish(journal)
            if journal:
                journal.close()
        except BaseException as error:
            self._emit("failed", None, {"step": self._step, "error": f"{type(error).__name__}: {error}"})
            if journal:
                with suppress(OSError):  # it may be what failed, and must not hide what did
                    journal.close()
            raise
        finished = self._step >= self._config.steps
        self._emit("finished" if finished else "stopped", self._folder, {"step": self._step, "seconds": self._seconds})
        return Trained(self._folder, self._step, finished, self._seconds, tuple(journal.skipped if journal else ()))

    def _train_step(self, batches: Iterator[Batch]) -> None:
        config, engine = self._config, self._engine
        # for layers that draw noise on their own, such as dropout
        torch.manual_seed(key_seed(config.seed, "step", self._step, engine.share.process))
        parts = [next(batches) for _ in range(config.accumulate * self._recipe.batches_per_step)]
        engine.set_rates()
        terms = engine.advance(self._recipe.step(parts))
        self._positions = [parts[-1].position]
        self._unread += [line for part in parts for line in part.skipped]
        self._pending.append((self._step, terms))

    def _keep_books(self, journal: Journal | None) -> None:
        """Log, preview, measure and save after a step, as far as each is due."""
        config, last = self._config, self._step == self._config.steps

        def due(every: int) -> bool:
            return self._step % every == 0 or last

        self._stop = self._asked_to_stop() and not last
        saving = due(config.checkpoint_every) or self._stop
        showing, measuring = due(config.sample_every), due(config.evaluate_every) and self._measures
        # what is shown, measured or saved is known to be sound
        if saving or showing or measuring or due(config.log_every):
            self._drain(journal)
        if journal and showing:
            self._emit("saved", journal.show(self._step, self._grid()), {"step": self._step})
        best = measuring and self._measure(journal)
        if saving or best:
            self._save(journal, best)

    def _asked_to_stop(self) -> bool:
        """Report the step to `on_step`; return whether it wants to stop in any process."""
        wish = False
        if self._on_step is not None:
            event = StepEvent(self._step, self._config.steps, self._pace(), self._losses, self._grid)
            wish = self._on_step(event) is False
        return self._any(wish)

    def _any(self, here: bool) -> bool:
        """Return on all processes whether something is so on any."""
        if self._engine.share.processes == 1:
            return here
        return bool(self._engine.mean(torch.tensor(float(here), device=self._engine.device)) > 0)

    def _pace(self) -> str:
        done = self._step * self._config.batch * self._recipe.batches_per_step
        return f"{done / max(self._seconds, 1e-9):.0f} pictures/s"

    def _grid(self) -> Tensor:
        pictures = self._recipe.preview()
        columns = self._recipe.preview_columns or math.ceil(math.sqrt(len(pictures)))
        return to_grid(pictures, columns=columns, padding=2)

    def _drain(self, journal: Journal | None) -> None:
        """Log the steps since the last time.

        Raises:
            ModelError: One of their terms is not finite.
        """
        pending, self._pending = self._pending, []
        names = [(step, name) for step, terms in pending for name in terms]
        values = [term for _, terms in pending for term in terms.values()]
        reduced = self._engine.mean(torch.stack(values)).tolist() if values else []
        for (step, name), value in zip(names, reduced, strict=True):
            if not math.isfinite(value):
                raise self._broken_down(f"{name} is {value} at step {step}")
        unread, self._unread = gather_object(self._unread), []
        means: dict[str, list[float]] = {name: [] for _, name in names}
        for (_, name), value in zip(names, reduced, strict=True):
            means[name].append(value)
        self._losses = {name: sum(each) / len(each) for name, each in means.items()}
        if journal:
            journal.skip(unread)
            journal.log(self._step, {**self._losses, "seconds": round(self._seconds, 3), **self._recipe.gauges()})

    def _broken_down(self, what: str) -> ModelError:
        return ModelError(
            f"{what}; the last good checkpoint is {self._checkpoints.latest() or 'none'}: {self._recipe.advice}, and "
            "resume with changes allowed (--resume --allow-changes)"
        )

    def _measure(self, journal: Journal | None) -> bool:
        """Measure on the first process; return on all, which save together, whether this is the best so far."""
        best = False
        if journal:
            measured = dict(self._recipe.measure() if self._metric is None else self._metric(self.model))
            if not measured:
                return self._any(best)
            journal.log(self._step, measured)
            value = next(iter(measured.values()))
            sign = -1 if getattr(self._metric, "higher_is_better", False) else 1
            best = math.isfinite(value) and (self._best is None or sign * value < sign * self._best["value"])
            if best:
                self._best = {"step": self._step, "value": value}
        return self._any(best)

    def _save(self, journal: Journal | None, best: bool) -> None:
        tensors = self._engine.state()
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise self._broken_down(f"{name} is not finite after step {self._step}")
        positions = gather_object(self._positions or [None])
        if journal:
            facts = {
                "step": self._step,
                "seconds": self._seconds,
                "positions": positions,
                "best": self._best,
                "losses": self._losses,
            }
            path = self._checkpoints.save(self._step, tensors, facts, best=best)
            self._emit("saved", path, {"step": self._step})
        self._engine.accelerator.wait_for_everyone()

    def _is_finished(self) -> bool:
        return self._step >= self._config.steps and all((self._folder / name).exists() for name in self._kept)

    def _finish(self, journal: Journal | None) -> None:
        """Write the networks and the card of a finished run."""
        if journal is None or self._step < self._config.steps:
            return
        step = self._step
        if self._best is not None and self._checkpoints.best.exists():
            tensors, facts = self._checkpoints.load(self._checkpoints.best)
            step, self._best = facts["step"], facts["best"]
            self._engine.load_averages(tensors)
        self._recipe.finish()
        for role, network in self._engine.results().items():
            write_tensors(self._folder / f"{role}.safetensors", network.own_state())
        card = self._folder / _CARD
        if card.exists():  # of a run that was shorter; someone may have filled in its licence
            card = card.with_name(f"README-{self._step}.md")
            _log.warning("README.md is left as it was, and %s has the card of the longer run", card.name)
        written = model_card(
            self._record,
            step,
            self._seconds,
            self._losses,
            self._best,
            len(journal.skipped),
            kind=self._engine.networks[self._engine.main].kind,
            roles=tuple(self._engine.results()),
            rows=self._recipe.card_rows(),
        )
        write_text(card, written, alone=True)

    @contextmanager
    def _folder_held(self) -> Iterator[None]:
        """Keep other trainings out of the folder, and say in one line what the disk refuses."""
        try:
            with sole_writer(self._folder) if self._first else nullcontext():
                self._engine.accelerator.wait_for_everyone()
                yield
        except OSError as error:
            if isinstance(error, GanartError):
                raise
            raise ModelError(f"{self._folder}: cannot be written: {error.strerror or error}") from error

    def _begin(self, resume: bool, allow_changes: bool) -> None:
        """Check what the folder holds, and load its newest checkpoint where resuming."""
        path, latest = self._folder / _CONFIG, self._checkpoints.latest()
        if (path.exists() or latest) and not resume:
            raise SettingsError(f"{self._folder} already holds a run; resume it, or choose another folder")
        if path.exists():
            try:
                before = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ModelError(f"{path} is damaged ({error}); without it, the run resumes unchecked") from None
            before = {"recipe": GAN, "main": "generator", **before}  # those that are older than recipes
            if (changed := _differences(before, json.loads(json.dumps(self._record)))) and not allow_changes:
                raise SettingsError(
                    f"{self._folder} was started with other settings: {'; '.join(changed)}; "
                    "allow changes to resume all the same"
                )
        if latest:
            self._load(latest)
        steps = gather_object([self._step])
        if len(set(steps)) > 1:
            raise SettingsError(
                f"{self._folder}: the processes see checkpoints of steps {', '.join(map(str, steps))}; "
                "expected one folder that all of them share"
            )

    def _load(self, path: Path) -> None:
        tensors, facts = self._checkpoints.load(path)
        self._engine.load_state(tensors)
        self._engine.steps_done, self._seconds, self._best = facts["step"], facts["seconds"], facts["best"]
        self._losses = facts.get("losses", {})  # checkpoints of the first sessions have none
        positions = facts["positions"]
        if len(positions) == self._engine.share.processes:
            self._positions = [positions[self._engine.share.process]]
        elif len(set(map(json.dumps, positions))) == 1 and isinstance(positions[0], int):
            self._positions = positions[:1]  # positions in the global order fit any number of processes
        else:
            raise SettingsError(
                f"{path} is of {len(positions)} processes, and these are {self._engine.share.processes}; "
                "shards need as many"
            )

    def _batches(self) -> Iterator[Batch]:
        loader = self._data.loader(self._engine.share, self._config.seed, self._config.workers)
        return iter(loader(self._positions[0] if self._positions else None))

    def _devices(self) -> list[torch.device]:
        device = self._engine.device
        return [device] if device.type == "cuda" else []

    def _emit(self, stage: str, path: Path | None, details: Mapping[str, Any]) -> None:
        if self._first and self._on_event is not None:
            self._on_event(stage, path, details)


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Return what differs between two JSON values, as `name was x, now y`."""
    if name in _MAY_DIFFER:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [
            line for key in keys for line in _differences(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if before == now else [f"{name} was {before!r}, now {now!r}"]
