"""Times the models of a zoo, those of plugins included, at sizes derived from their declarations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch

from ganart_zoo import ops
from ganart_zoo.bench.measure import Case, Measured, bytes_of, measure
from ganart_zoo.bench.roofs import Roofs
from ganart_zoo.contract import Generator, Model, SettingsError
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.testing.derived import NotHereError, subject_for
from ganart_zoo.testing.subject import Subject

__all__ = ["LeftOutError", "measure_models"]

_SIDE, _STEPS = 256, 10
"""Of the standard size: the pictures' sides, and the steps of models that have steps."""


class LeftOutError(NotHereError):
    """A model that cannot be timed here; the message is one line that names it and says why."""


def measure_models(
    zoo: Zoo,
    entries: Iterable[Entry],
    *,
    sizes: Collection[str] = ("small", "standard"),
    seconds: float = 0.5,
    compiled: bool = False,
    roofs: Roofs | None = None,
) -> Iterator[Measured | LeftOutError]:
    """Time one call of each model on one row, with native kernels and with plain PyTorch.

    `small` has the settings of the conformance kit: the smallest resolution, two steps. `standard` has the model's own
    settings, pictures of 256 x 256, and ten steps. Weights are the default ones where they are on this machine;
    without them the model is made untrained.

    Args:
        zoo: That offers the models.
        entries: The models.
        sizes: The names of the sizes to time.
        seconds: For the rounds of one model and size, all candidates together.
        compiled: Whether to time `torch.compile` of plain PyTorch too, which takes minutes.
        roofs: Of the CPU; without them no share of a roof is given.

    Yields:
        What was measured, or why a model was left out.
    """
    for entry in entries:
        try:
            small = subject_for(zoo, entry)
            subjects = {"small": small, "standard": small}
            if "standard" in sizes:
                subjects["standard"] = _standard(small)
            for size in sizes:
                yield _measure(entry, size, subjects[size], seconds, compiled, roofs)
        except Exception as error:  # a plugin's model may raise anything
            yield LeftOutError(f"{entry.canonical}: {type(error).__name__}: {' '.join(str(error).split()):.200}")


def _standard(small: Subject) -> Subject:
    """Return the subject with the model's own settings, and usual pictures and steps."""
    settings = {name: value for name, value in small.settings.items() if name != "resolution"}
    standard = replace(small, settings=settings, size=(_SIDE, _SIDE))
    try:
        model = standard.create()
    except SettingsError:
        standard = replace(standard, settings=small.settings)
        model = standard.create()
    side = getattr(model.config, "resolution", None)
    if small.spec.kind == "critic" and isinstance(side, int):
        standard = replace(standard, size=(side, side))
    if "steps" in small.options:
        try:
            small.zoo.options(small.name, steps=_STEPS)
            standard = replace(standard, options={**small.options, "steps": _STEPS})
        except SettingsError:
            pass  # as many as it takes
    return standard


def _measure(
    entry: Entry, size: str, subject: Subject, seconds: float, compiled: bool, roofs: Roofs | None
) -> Measured:
    model = subject.create()

    def call() -> Any:
        return subject.call(model, 1)

    def plain() -> Any:
        with ops.use("reference"):
            return call()

    candidates: dict[str, Callable[[], Any]] = {"op": call, "eager": plain}
    if compiled:
        faster = torch.compile(call, dynamic=False)

        def with_compiler() -> Any:
            with ops.use("reference"):
                return faster()

        candidates["compile"] = with_compiler
    case = Case(
        name=entry.canonical,
        size=size,
        shape=_shape(subject, model),
        dtype=str(model.compute_dtype).removeprefix("torch."),
        device=model.device.type,
        candidates=candidates,
        counted=plain,
        moved=bytes_of([*model.parameters(), *model.buffers()]) + _inputs(subject, model),
    )
    with ops.use("auto"):
        return measure(case, seconds, roofs)


def _shape(subject: Subject, model: Model) -> str:
    steps = f", {subject.options['steps']} steps" if "steps" in subject.options else ""
    if isinstance(model, Generator):
        side = getattr(model.config, "resolution", None)
        return (f"{side}x{side}" if isinstance(side, int) else "its own size") + steps
    return "x".join(map(str, subject.size)) + steps


def _inputs(subject: Subject, model: Model) -> int:
    return 0 if isinstance(model, Generator) else bytes_of(subject.images(1))
