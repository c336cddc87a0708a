"""A plugin of a generator and two critics that learn in seconds, which hears of every event."""

from __future__ import annotations

from collections.abc import Callable

from ganart_zoo import ModelSpec, hookimpl
from ganart_zoo.contract import RunEvent

events: list[RunEvent] = []
listeners: list[Callable[[RunEvent], None]] = []
"""Called with each event, by tests that want to do something then."""


def _spec(name: str, kind: str, factory: str, capabilities: set[str]) -> ModelSpec:
    return ModelSpec(
        name=name,
        kind=kind,
        summary="For tests.",
        license="Apache-2.0",
        factory=f"ganart_learners.networks:{factory}",
        config="ganart_learners.config:Config",
        capabilities=frozenset(capabilities),
    )


@hookimpl
def ganart_models() -> list[ModelSpec]:
    both = {"labels", "unconditional", "trainable"}
    return [
        _spec("learner", "generator", "Learner", both),
        _spec("judge", "critic", "Judge", both),
        _spec("plain_judge", "critic", "Judge", {"unconditional", "trainable"}),
        _spec("told_judge", "critic", "Judge", {"labels", "trainable"}),
        _spec("finished", "generator", "Learner", {"unconditional"}),
    ]


@hookimpl
def ganart_run_event(event: RunEvent) -> None:
    events.append(event)
    for listener in listeners:
        listener(event)
