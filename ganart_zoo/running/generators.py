"""Generators as tasks take them: loaded from a name or a run, told classes or a text, a seed a picture.

from pathlib import Path
from ganart_zoo import Zoo
from ganart_zoo.running.generators import load_generator
from ganart_zoo.tasks.sample import sample

generator = load_generator(Zoo(), Path("runs/first"), settings={"truncation": 0.7})
sample(generator, 16, "grid.png")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.errors import GanartError, SettingsError
from ganart_zoo.contract.events import OnStep, RunEvent
from ganart_zoo.contract.models import Generator, StyleGenerator
from ganart_zoo.contract.rng import generator as seeded
from ganart_zoo.imaging.record import InputFile, Record
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.registry.runs import read_part
from ganart_zoo.running.calls import Steps, broken_call
from ganart_zoo.running.classes import class_label
from ganart_zoo.running.environment import op_implementations, reproducible, versions

__all__ = ["LoadedGenerator", "check_seeds", "generator_entry", "load_generator", "load_recorded"]


@dataclass(frozen=True, eq=False)
class LoadedGenerator:
    """A generator with the options of its calls."""

    zoo: Zoo
    """Who hears of its faults and of the events."""
    entry: Entry
    model: Generator
    options: Any

    @property
    def class_names(self) -> tuple[str, ...]:
        """What its labels mean; empty where it has no classes, or does not name them."""
        return tuple(getattr(self.model.config, "class_names", ()))

    def labels(self, classes: Sequence[int | str] | None) -> tuple[int, ...] | None:
        """Return the labels of `classes`, given by number or name; None means every class there is.

        Returns:
            None where it has no classes, and none were asked for.

        Raises:
            SettingsError: It has no classes, or not one of these.
        """
        names = self.class_names
        if classes is None:
            return tuple(range(len(names))) or None
        nameless = "class_names" not in self.zoo.settings(self.entry.canonical).config_names
        if "labels" not in self.entry.spec.capabilities or not (names or nameless):
            raise SettingsError(f"{self.entry.canonical} has no classes to choose from; leave classes out")
        if not classes:
            raise SettingsError("classes is empty; name at least one, or leave it out")
        return tuple(class_label(self.entry.canonical, names, one) for one in classes)

    def check_prompt(self, prompt: str | None) -> None:
        """Raise SettingsError where a text is given in vain, or is missing."""
        can, name = self.entry.spec.capabilities, self.entry.canonical
        if prompt is not None and "prompt" not in can:
            raise SettingsError(f"{name} takes no text; leave the prompt out")
        if prompt is None and "prompt" in can and "unconditional" not in can:
            raise SettingsError(f"{name} paints from a text; give a prompt")

    def condition(self, labels: Sequence[int] | None, prompt: str | None = None) -> Condition | None:
        """Return what the network is told: one label a row, and the same text in all."""
        return self.rows_condition(range(len(labels or ())), labels, None if prompt is None else (prompt,))

    def rows_condition(
        self, rows: Sequence[int], labels: Sequence[int] | None, prompts: Sequence[str] | None
    ) -> Condition | None:
        """Return what the network is told of some rows: each its own label, and of the texts one in turn."""
        if labels is None and prompts is None:
            return None
        numbers = None if labels is None else torch.tensor([labels[row] for row in rows], device=self.model.device)
        texts = prompts if prompts is None or len(prompts) == 1 else [prompts[row % len(prompts)] for row in rows]
        return Condition(labels=numbers, prompts=None if texts is None else tuple(texts))

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """Return `[n, *latent_shape]`: row i is that of seed i, whatever the other rows are."""
        return self.model.sample_latents(len(seeds), rng=[seeded(seed) for seed in seeds], options=self.options)

    def paint(self, seeds: Sequence[int], condition: Condition | None, on_step: OnStep | None = None) -> Tensor:
        """Return pictures `[n, 3, H, W]` of seeds. A style generator uses its stored noise, so that a seed's picture
        is the one it starts from when it is mixed or interpolated; others go on drawing from the seed."""
        rows = [seeded(seed) for seed in seeds]
        latents = self.model.sample_latents(len(seeds), rng=rows, options=self.options)
        noise = None if isinstance(self.model, StyleGenerator) else rows
        with torch.no_grad():
            pictures: Tensor = self.model(latents, condition, rng=noise, options=self.options, on_step=on_step)
        return pictures

    def truncated(self, ws: Tensor) -> Tensor:
        """Return styles as `paint` would have them: pulled to the mean as far as the options say, if they do."""
        truncation = getattr(self.options, "truncation", None)
        if truncation is None:
            return ws
        assert isinstance(self.model, StyleGenerator)  # only these have styles
        return self.model.truncate(ws, truncation)

    def styled(self, what: str) -> StyleGenerator:
        """Return the model as a style generator.

        Raises:
            SettingsError: It is none, and `what` needs one.
        """
        if not isinstance(self.model, StyleGenerator):
            raise SettingsError(f"{self.entry.canonical} has no styles, and {what} needs a style generator")
        return self.model

    @contextmanager
    def calls(self, task: str, steps: Steps | None = None) -> Iterator[None]:
        """Run calls of the model so that the same machine gives the same bits, and its failures are told as its own.

        Raises:
            PluginFaultError: It broke.
            ModelError: Memory ran out.
        """
        try:
            with reproducible():
                yield
        except GanartError:
            raise
        except Exception as error:
            if steps is not None and error is steps.raised:  # the caller's own
                raise
            side = getattr(self.model.config, "resolution", 0)
            raise broken_call(self.zoo, self.entry, task, error, side, side) from error

    @contextmanager
    def announced(self, task: str, path: Path | None, about: Mapping[str, Any]) -> Iterator[None]:
        """Tell listeners that a task has begun, and where it fails, of that."""
        self.emit(task, "started", path, about)
        try:
            yield
        except BaseException as error:
            self.emit(task, "failed", path, {**about, "error": f"{type(error).__name__}: {error}"})
            raise

    def emit(self, task: str, stage: str, path: Path | None, details: Mapping[str, Any]) -> None:
        """Tell listeners of an event."""
        self.zoo.emit(RunEvent(task, stage, self.entry.canonical, path, details))

    def record(self, task: str, seed: int, request: Mapping[str, Any], inputs: Sequence[InputFile] = ()) -> Record:
        """Return the record of a picture made with this generator."""
        device = self.model.device
        assert self.model.provenance is not None  # Zoo.create made it
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


def load_generator(
    zoo: Zoo,
    model: str | Path,
    *,
    settings: Mapping[str, Any] | None = None,
    weights: str | Path | None = "default",
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    fetch: bool = False,
) -> LoadedGenerator:
    """Load a generator for the tasks.

    Args:
        zoo: Where models come from.
        model: A name, or the `Path` of a run.
        settings: By name, the model's config (not of a run), the models it uses, and its options.
        weights: As `Zoo.create` takes them.
        device: Where it computes.
        dtype: Its compute type; None for float32.
        fetch: Download missing weights.

    Raises:
        GanartError: The model or a setting is not fit; see `Zoo.create`.
    """
    entry = generator_entry(zoo, model)
    for_create, for_call = zoo.settings(entry.canonical).sort(settings or {})
    options = zoo.options(entry.canonical, **for_call)
    target = model if isinstance(model, Path) else entry.canonical
    made = zoo.create(target, weights=weights, device=device, dtype=dtype, fetch=fetch, **for_create)
    assert isinstance(made, Generator)  # its kind says so, and the zoo holds it to that
    return LoadedGenerator(zoo, entry, made, options)


def load_recorded(zoo: Zoo, record: Record, *, device: str, fetch: bool) -> LoadedGenerator:
    """Load the generator of a record, with the options it was called with; errors as those of `load_generator`."""
    settings = {**record.model.to_settings(), **record.options}
    settings.pop("part", None)  # a run's generator is what load_generator takes
    return load_generator(
        zoo,
        settings.pop("model"),
        weights=settings.pop("weights", "default"),
        settings=settings,
        device=device,
        dtype=getattr(torch, record.model.dtype),
        fetch=fetch,
    )


def generator_entry(zoo: Zoo, model: str | Path) -> Entry:
    """Return the declaration behind a name or a run.

    Raises:
        GanartError: There is no such model or run, or it is no generator.
    """
    name = read_part(model, "generator").provenance.model if isinstance(model, Path) else model
    entry = zoo.entry(name)
    if entry.spec.kind != "generator":
        raise SettingsError(
            f"{entry.canonical} is a {entry.spec.kind}, expected a generator; see ganart list --kind generator"
        )
    return entry


def check_seeds(first: int, n: int) -> None:
    """Raise SettingsError unless `n` is positive and seeds `first` to `first + n - 1` are ones."""
    if n < 1:
        raise SettingsError(f"n is {n}, expected at least 1 picture")
    if not 0 <= first <= 2**63 - n:
        raise SettingsError(f"seed is {first}, expected 0 to 2**63 - {n}")
