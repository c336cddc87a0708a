"""Calls of a model on behalf of a user: stopping, and telling the plugin's exceptions from the user's own."""

from __future__ import annotations

import torch

from ganart_zoo.contract.errors import GanartError, ModelError, PluginFaultError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.registry import Entry, RecipeEntry, Zoo
from ganart_zoo.running.interrupts import was_interrupted

__all__ = ["Steps", "broken_call", "stopping_at"]


class Steps:
    """Forwards steps to the user's `on_step`, and remembers at which step it asked to stop and what it raised.

    Ctrl-C during an `interruptible` task counts as the wish to stop.
    """

    def __init__(self, on_step: OnStep | None) -> None:
        self._on_step = on_step
        self.stopped_at: int | None = None
        self.raised: Exception | None = None

    def __call__(self, event: StepEvent) -> bool | None:
        try:
            answer = None if self._on_step is None else self._on_step(event)
        except Exception as error:
            self.raised = error
            raise
        if was_interrupted():
            answer = False
        # After the last step there is nothing left to stop.
        if answer is False and event.step != event.total:
            self.stopped_at = event.step
        return answer


def stopping_at(step: int | None, on_step: OnStep | None) -> OnStep:
    """Return an `on_step` that also stops at `step`, where a recorded call was stopped; None stops nowhere."""

    def until_stopped(event: StepEvent) -> bool | None:
        answer = None if on_step is None else on_step(event)
        return False if event.step == step else answer

    return until_stopped


def broken_call(
    zoo: Zoo, entry: Entry | RecipeEntry, task: str, error: Exception, size: tuple[int, int] | None = None
) -> GanartError:
    """Return the error to raise when a call of a model failed.

    Args:
        zoo: The fault is reported here.
        entry: The declaration of the model or recipe.
        task: The verb that called it.
        error: What the call raised.
        size: Width and height of the picture, in pixels, where they are known.

    Returns:
        A `ModelError` where memory ran out, else a `PluginFaultError`.
    """
    out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
    if out_of_memory:
        where = "" if size is None else f" at {size[0]}×{size[1]}"
        return ModelError(f"{entry.canonical} ran out of memory{where}; try a smaller size")
    broken = PluginFaultError(entry.fault(task, error))
    zoo.report(broken.fault, broken)
    return broken
