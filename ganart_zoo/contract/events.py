"""Events that report the progress of long-running work, and through which a caller can stop it. Torch-free."""

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
    """One step of a model's work, passed to `on_step`."""

    step: int
    """The number of steps done in this call so far, starting from 1."""
    total: int | None
    """The largest number of steps the call will take, or None if it is unknown."""
    phase: str
    """A label for a progress bar, such as `"256 px"` or `"denoise"`."""
    losses: Mapping[str, float]
    """The named terms of this step's loss; empty if the model has none."""
    preview: Callable[[], Tensor]
    """Returns the current picture, `[n, 3, H, W]` in 0..1, detached. Valid only during the call."""

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
"""Called after each step. Returning `False` stops the work, which then returns its best result so far; any other value
continues it. Exceptions propagate."""


@dataclass(frozen=True)
class RunEvent:
    """One event of a task, passed to `ganart_run_event` hooks on rank 0, for example for logging or uploading."""

    task: str
    """The verb: `"stylize"`, `"train"`."""
    stage: str
    """`"started"`, `"saved"`, `"finished"`, `"stopped"` (by the user) or `"failed"`."""
    model: str
    """Canonical name."""
    path: Path | None = None
    """The file or folder that was saved."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further facts about the stage, as JSON data."""
