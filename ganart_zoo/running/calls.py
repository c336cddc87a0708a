"""Calls a model on behalf of a caller: where the caller said stop, whose an exception is, what a model's own means."""

from __future__ import annotations

import torch

from ganart_zoo.contract.errors import GanartError, ModelError, PluginFaultError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.registry import Entry, Zoo

__all__ = ["Steps", "broken_call", "stopping_at"]


class Steps:
    """Passes steps on to the caller, and remembers where the caller said stop, and what the caller raised."""

    def __init__(self, on_step: OnStep | None) -> None:
        self._on_step = on_step
        self.stopped_at: int | None = None
        self.raised: Exception | None = None

    def __call__(self, event: StepEvent) -> bool | None:
        if self._on_step is None:
            return None
        try:
            answer = self._on_step(event)
        except Exception as error:
            self.raised = error
            raise
        # At the last step there is nothing left to stop.
        if answer is False and event.step != event.total:
            self.stopped_at = event.step
        return answer


def stopping_at(step: int | None, on_step: OnStep | None) -> OnStep:
    """Return what passes steps on and says stop at `step`, where a recorded call was stopped; None: nowhere."""

    def until_stopped(event: StepEvent) -> bool | None:
        answer = None if on_step is None else on_step(event)
        return False if event.step == step else answer

    return until_stopped


def broken_call(zoo: Zoo, entry: Entry, task: str, error: Exception, width: int, height: int) -> GanartError:
    """Return what to raise when a model's call failed: its fault, reported to the zoo, or a want of memory."""
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
    if out_of_memory:
        return ModelError(f"{entry.canonical} ran out of memory at {width}×{height}; try a smaller size")
    broken = PluginFaultError(entry.plugin.candidate.fault(task, error, entry.spec.name))
    zoo.report(broken.fault, broken)
    return broken
