"""The training loop: rounds of the game, and around them the average, the journal, checkpoints, and coming to a stop.

Nothing random has a state that outlives a step (see `draws`), and checkpoints are taken between steps. So a run that
was killed and resumed has, on the same machine and thread count, the weights of one that was not, bit by bit.
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

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.draws import key_seed, row_generators
from ganart_zoo.contract.errors import GanartError, ModelError, SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.contract.models import Critic, Generator, StyleGenerator
from ganart_zoo.contract.tensors import load_tensors
from ganart_zoo.data.pictures import Batch, Data, Share
from ganart_zoo.training.adversaries import Adversaries
from ganart_zoo.training.batch_norm import recalibrate
from ganart_zoo.training.card import model_card
from ganart_zoo.training.checkpoint import Checkpoints, prefixed, under, write_tensors, write_text
from ganart_zoo.training.config import TrainConfig
from ganart_zoo.training.ema import MovingAverage, averaging_decay
from ganart_zoo.training.journal import Journal, SampleGrid, read_skipped
from ganart_zoo.training.launch import join, sole_writer

_log = logging.getLogger("ganart_zoo")

__all__ = ["Metric", "OnEvent", "Trained", "Trainer"]

Metric = Callable[[Generator], Mapping[str, float]]
"""Measures the averaged generator, in eval mode; of the first value, lower is better. The rest is only logged."""

OnEvent = Callable[[str, "Path | None", Mapping[str, Any]], None]
"""Hears of stages as `RunEvent` has them: stage, what was saved, details."""

_RECALIBRATED_ROWS = 64
"""Pictures at most in each batch that batch norm takes its statistics from at the end."""

_MAY_DIFFER = ("made_with", "data.path", "training.workers", "training.log_every")
"""What `config.json` records and a resumed run may have otherwise: nothing learned depends on it."""

_CONFIG = "config.json"
_KEPT = ("generator.safetensors", "critic.safetensors", "README.md")
"""What a finished run holds, in the order it is written."""


@dataclass(frozen=True)
class Trained:
    """What a call of `Trainer.fit` came to."""

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


class Trainer:
    """Trains a generator against a critic, in a run folder.

    Args:
        generator: As `Zoo.create` gives it, or built by hand. It is trained in place; the run keeps its moving average.
        critic: Likewise.
        data: What to learn from.
        config: How.
        folder: The run folder; made where it does not exist.
        device: `"cpu"`, or `"cuda"` for what the launcher gives this process.
        conditions: What both networks are told of each picture: of `"labels"` and `"prompt"`.
        record: JSON-ready facts for `config.json`, such as `registry.runs.describe_parts` gives.
        metric: Measured every `config.evaluate_every` steps, to know the best checkpoint.
        on_step: Called after each step, on every process, with the losses logged last; returning False ends it all.
        on_event: Called on the first process.

    Raises:
        SettingsError: The device is not there; the data lacks a condition; the batch does not divide among processes;
            or a penalty does not fit the generator.
        ModelError: The networks and the data are of different sizes, or have nothing to train.
    """

    def __init__(
        self,
        generator: Generator,
        critic: Critic,
        data: Data,
        config: TrainConfig,
        folder: Path,
        *,
        device: str = "cpu",
        conditions: Sequence[str] = (),
        record: Mapping[str, Any] | None = None,
        metric: Metric | None = None,
        on_step: OnStep | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        self._accelerator = join(device)
        self._main = self._accelerator.is_main_process
        self._share = self._divide(config)
        self._config = config
        self._data = data
        self._folder = folder
        self._conditions = frozenset(conditions)
        self._record = {**(record or {}), "training": config.model_dump(mode="json"), "data": data.describe()}
        self._record["conditions"] = sorted(self._conditions)
        if config.metric.name and metric is None:
            raise SettingsError("training.metric is set, and no metric was given: train with tasks.train, or give one")
        self._metric, self._on_step, self._on_event = metric, on_step, on_event
        for network in (generator, critic):
            network.to(self._accelerator.device, torch.float64 if config.precision == "float64" else None)
        self._check(generator, critic)
        self._average = MovingAverage(generator)
        for network in (generator, critic):
            network.train().requires_grad_(True)
        self._adversaries = Adversaries(generator, critic, config, self._conditions, self._accelerator, self._share)
        self._grid = self._sample_grid(generator)
        self._checkpoints = Checkpoints(folder / "checkpoints", config.keep)
        self._step = 0
        self._seconds = 0.0
        self._positions: list[Any] | None = None
        self._best: dict[str, float] | None = None
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._losses: dict[str, float] = {}
        self._unread: list[str] = []
        self._stop = False

    @property
    def generator(self) -> Generator:
        """The averaged generator, in eval mode."""
        model = self._average.model
        assert isinstance(model, Generator)
        return model

    def fit(self, *, resume: bool = False, allow_changes: bool = False) -> Trained:
        """Train to the last step, or until `on_step` says stop. A run that is finished already stays as it is.

        Args:
            resume: Go on from the newest checkpoint of the folder; from the start where there is none yet.
            allow_changes: Resume although the settings differ from those the run was begun with.

        Raises:
            SettingsError: The folder holds a run and `resume` is off, or a run with other settings; or another training
                is writing it.
            ModelError: A loss or a weight is no longer finite, or a file cannot be written.
            ImageError: No picture can be read.
        """
        with self._folder_held():
            self._begin(resume, allow_changes)
            if self._is_finished():
                self.generator.load_own_state(load_tensors(self._folder / _KEPT[0]))
                return Trained(self._folder, self._step, True, self._seconds, read_skipped(self._folder), new=False)
            return self._train()

    def _train(self) -> Trained:
        if self._main:
            text = json.dumps(self._record, indent=2, ensure_ascii=False)
            write_text(self._folder / _CONFIG, f"{text}\n")
        journal: Journal | None = None
        began = time.monotonic() - self._seconds
        self._emit("started", None, {"step": self._step, "steps": self._config.steps})
        try:
            if self._main:
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
        config = self._config
        # for layers that draw noise on their own, such as dropout
        torch.manual_seed(key_seed(config.seed, "step", self._step, self._share.process))
        turns = [[next(batches) for _ in range(config.accumulate)] for _ in range(config.critic_steps)]
        terms = self._adversaries.round(self._step, turns)
        self._average.update(averaging_decay(config.ema_decay, config.ema_ramp, self._step))
        self._step += 1
        self._positions = [turns[-1][-1].position]
        self._unread += [line for turn in turns for batch in turn for line in batch.skipped]
        self._pending.append((self._step, terms))

    def _keep_books(self, journal: Journal | None) -> None:
        """Log, show, measure and save what is due after a step."""
        config, last = self._config, self._step == self._config.steps

        def due(every: int) -> bool:
            return self._step % every == 0 or last

        self._stop = self._asked_to_stop() and not last
        saving = due(config.checkpoint_every) or self._stop
        showing, measuring = due(config.sample_every), due(config.evaluate_every) and self._metric is not None
        # what is shown, measured or saved is known to be sound
        if saving or showing or measuring or due(config.log_every):
            self._drain(journal)
        if journal and showing:
            self._emit("saved", journal.show(self._step, self._grid(self.generator)), {"step": self._step})
        best = measuring and self._measure(journal)
        if saving or best:
            self._save(journal, best)

    def _asked_to_stop(self) -> bool:
        """Tell `on_step` of the step; return whether it wants to stop in any process."""
        wish = False
        if self._on_step is not None:
            event = StepEvent(
                self._step, self._config.steps, self._pace(), self._losses, lambda: self._grid(self.generator)
            )
            wish = self._on_step(event) is False
        return self._any(wish)

    def _any(self, here: bool) -> bool:
        """Return on all processes whether something is so on any."""
        if self._share.processes == 1:
            return here
        return bool(self._accelerator.reduce(torch.tensor(float(here), device=self._accelerator.device), "sum") > 0)

    def _pace(self) -> str:
        done = self._step * self._config.batch * self._config.critic_steps
        return f"{done / max(self._seconds, 1e-9):.0f} pictures/s"

    def _drain(self, journal: Journal | None) -> None:
        """Log the steps since the last time.

        Raises:
            ModelError: One of their terms is not finite.
        """
        pending, self._pending = self._pending, []
        values = torch.stack([term for _, terms in pending for term in terms.values()])
        reduced = self._accelerator.reduce(values, "mean").tolist()
        names = [(step, name) for step, terms in pending for name in terms]
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
            extras = {"seconds": round(self._seconds, 3)}
            if self._config.augment.policy:
                extras["augment_probability"] = self._adversaries.adaptive.probability
            journal.log(self._step, self._losses | extras)

    def _broken_down(self, what: str) -> ModelError:
        return ModelError(
            f"{what}; the last good checkpoint is {self._checkpoints.latest() or 'none'}: lower the learning rates or "
            "raise r1, and resume with changes allowed (--resume --allow-changes)"
        )

    def _measure(self, journal: Journal | None) -> bool:
        """Measure on the first process; return on all, which save together, whether this is the best so far."""
        best = False
        if journal and self._metric is not None:
            measured = dict(self._metric(self.generator))
            journal.log(self._step, measured)
            value = next(iter(measured.values()))
            best = math.isfinite(value) and (self._best is None or value < self._best["value"])
            if best:
                self._best = {"step": self._step, "value": value}
        return self._any(best)

    def _save(self, journal: Journal | None, best: bool) -> None:
        tensors = self._adversaries.state() | prefixed("average", self.generator.own_state())
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
        self._accelerator.wait_for_everyone()

    def _is_finished(self) -> bool:
        return self._step >= self._config.steps and all((self._folder / name).exists() for name in _KEPT)

    def _finish(self, journal: Journal | None) -> None:
        """Write the networks and the card of a finished run."""
        if journal is None or self._step < self._config.steps:
            return
        step = self._step
        if self._best is not None and self._checkpoints.best.exists():
            tensors, facts = self._checkpoints.load(self._checkpoints.best)
            step, self._best = facts["step"], facts["best"]
            self.generator.load_own_state(under("average", tensors))
        rows = min(self._config.batch, _RECALIBRATED_ROWS)
        told = self._fixed_condition(rows)
        recalibrate(self.generator, self._config.recalibrate, self._config.seed, told, rows=rows)
        generator, critic, card = (self._folder / name for name in _KEPT)
        write_tensors(generator, self.generator.own_state())
        write_tensors(critic, self._adversaries.critic.own_state())
        if card.exists():  # of a run that was shorter; someone may have filled in its licence
            card = card.with_name(f"README-{self._step}.md")
            _log.warning("README.md is left as it was, and %s has the card of the longer run", card.name)
        write_text(card, model_card(self._record, step, self._seconds, self._losses, self._best, len(journal.skipped)))

    @contextmanager
    def _folder_held(self) -> Iterator[None]:
        """Keep other trainings out of the folder, and say in one line what the disk refuses."""
        try:
            with sole_writer(self._folder) if self._main else nullcontext():
                self._accelerator.wait_for_everyone()
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
            if (changed := _differences(before, json.loads(json.dumps(self._record)))) and not allow_changes:
                raise SettingsError(
                    f"{self._folder} was begun with other settings: {'; '.join(changed)}; "
                    "allow changes to resume all the same"
                )
        if latest:
            self._load(latest)
        steps = gather_object([self._step])
        if len(set(steps)) > 1:
            raise SettingsError(
                f"{self._folder}: the processes found checkpoints of steps {', '.join(map(str, steps))}; "
                "expected one folder that all of them share"
            )

    def _load(self, path: Path) -> None:
        tensors, facts = self._checkpoints.load(path)
        self._adversaries.load_state(tensors)
        self.generator.load_own_state(under("average", tensors))
        self._step, self._seconds, self._best = facts["step"], facts["seconds"], facts["best"]
        self._losses = facts.get("losses", {})  # checkpoints of the first sessions have none
        positions = facts["positions"]
        if len(positions) == self._share.processes:
            self._positions = [positions[self._share.process]]
        elif len(set(map(json.dumps, positions))) == 1 and isinstance(positions[0], int):
            self._positions = positions[:1]  # positions in the global order fit any number of processes
        else:
            raise SettingsError(
                f"{path} is of {len(positions)} processes, and these are {self._share.processes}; shards need as many"
            )

    def _batches(self) -> Iterator[Batch]:
        loader = self._data.loader(self._share, self._config.seed, self._config.workers)
        return iter(loader(self._positions[0] if self._positions else None))

    def _divide(self, config: TrainConfig) -> Share:
        processes = self._accelerator.num_processes
        if config.batch % (processes * config.accumulate):
            raise SettingsError(
                f"batch is {config.batch}, expected a multiple of {processes} processes × {config.accumulate} parts"
            )
        return Share(config.batch, self._accelerator.process_index, processes, config.accumulate)

    def _check(self, generator: Generator, critic: Critic) -> None:
        """Try the networks on each other before hours are spent."""
        if self._config.path_length.weight and not isinstance(generator, StyleGenerator):
            raise SettingsError(f"path_length needs a style generator, and {type(generator).__name__} is none")
        if "prompt" in self._conditions and self._data.prompts is None:
            raise SettingsError("the networks are to be told prompts, and the data has no captions")
        if "labels" in self._conditions and not self._data.class_names:
            raise SettingsError("the networks are to be told labels, and the data has no classes")
        condition = self._fixed_condition(2)
        rng = row_generators(range(2), "check")
        with torch.no_grad():
            latents = generator.eval().sample_latents(2, rng=rng).to(generator.device)
            images = generator(latents, condition, rng=rng)
            side = self._data.size
            if images.shape != (2, 3, side, side):
                raise ModelError(
                    f"{type(generator).__name__} makes pictures {list(images.shape[1:])}, and the data has "
                    f"[3, {side}, {side}]; set its resolution or the size of the data"
                )
            try:
                critic.eval()(images, condition)
            except GanartError:
                raise
            except Exception as error:
                raise ModelError(
                    f"{type(critic).__name__} cannot judge pictures of {side}×{side}: {error}".splitlines()[0]
                ) from error

    def _fixed_condition(self, n: int) -> Condition | None:
        if not self._conditions:
            return None
        labels = prompts = None
        if "labels" in self._conditions:
            labels = torch.arange(n, device=self._accelerator.device) % len(self._data.class_names)
        if "prompt" in self._conditions and self._data.prompts:
            prompts = tuple(self._data.prompts[row % len(self._data.prompts)] for row in range(n))
        return Condition(labels=labels, prompts=prompts)

    def _sample_grid(self, generator: Generator) -> SampleGrid:
        rng = row_generators(range(self._config.samples), self._config.seed, "grid")
        classes = len(self._data.class_names) if "labels" in self._conditions else 0
        columns = classes if 1 < classes <= self._config.samples else None
        return SampleGrid(generator, rng, self._fixed_condition(len(rng)), columns, self._share.rows)

    def _devices(self) -> list[torch.device]:
        device = self._accelerator.device
        return [device] if device.type == "cuda" else []

    def _emit(self, stage: str, path: Path | None, details: Mapping[str, Any]) -> None:
        if self._main and self._on_event is not None:
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
