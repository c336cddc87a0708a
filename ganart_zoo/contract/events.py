"""What long work tells its caller while it runs, and how the caller stops it. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["OnStep", "RunEvent", "StepEvent"]


@dataclass(frozen=True)
class StepEvent:
    """One step of a model's work, given to `on_step`."""

    step: int
    """Steps done, from 1, counted over the whole call."""
    total: int | None
    """Steps the call will take at most; None where nobody can know."""
    phase: str
    """What is going on, for a progress bar: `"256 px"`, `"denoise"`."""
    losses: Mapping[str, float]
    """Named terms of this step's loss; empty where there is none."""
    preview: Callable[[], Tensor]
    """Gives the picture so far, `[n, 3, H, W]` in 0..1, detached. Valid only during the call."""

    @classmethod
    def of(
        cls,
        step: int,
        total: int | None,
        phase: str = "",
        losses: Mapping[str, float] | None = None,
        *,
        picture: Tensor | None = None,
    ) -> StepEvent:
        """Return the event of a step that shows `picture`, clamped when it is asked for.

        Args:
            step: Steps done, from 1.
            total: Steps in all; None where nobody can know.
            phase: What is going on.
            losses: Named terms of the loss.
            picture: `[n, 3, H, W]`, or None where there is nothing to show: the preview is then `[0, 3, 0, 0]`.
        """

        def preview() -> Tensor:
            if picture is not None:
                return picture.detach().clamp(0, 1)
            import torch

            return torch.empty(0, 3, 0, 0)

        return cls(step, total, phase, losses or {}, preview)


OnStep = Callable[[StepEvent], "bool | None"]
"""Called after each step. Only a returned `False` stops the work, which then returns its best result so far; an
exception propagates."""


@dataclass(frozen=True)
class RunEvent:
    """One event of a task, given to `ganart_run_event` hooks on rank 0: to log it, upload it, ring a bell."""

    task: str
    """The verb: `"stylize"`, `"train"`."""
    stage: str
    """`"started"`, `"saved"`, `"finished"`, `"stopped"` (by the user) or `"failed"`."""
    model: str
    """Canonical name."""
    path: Path | None = None
    """What was saved."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON-ready facts of the stage."""
