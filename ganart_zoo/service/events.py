"""What a job reports while it waits, runs and ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ENDED", "STATES", "JobEvent", "State"]

State = Literal["queued", "running", "finished", "stopped", "failed"]

STATES: tuple[State, ...] = ("queued", "running", "finished", "stopped", "failed")
"""A job is queued, then running, and ends in one of the other three; a queued job that is cancelled is stopped."""

ENDED: frozenset[State] = frozenset({"finished", "stopped", "failed"})


@dataclass(frozen=True)
class JobEvent:
    """One thing that happened to a job."""

    number: int
    """From 1, without gaps."""
    state: State
    """The state of the job after it. The event of an end is the last."""
    time: float
    """Seconds since 1970."""
    step: int = 0
    """Steps done."""
    total: int | None = None
    """Steps in all, where they are known."""
    phase: str = ""
    losses: Mapping[str, float] = field(default_factory=dict)
    eta: float | None = None
    """Seconds that are left, where they can be told."""
    preview: Image.Image | None = None
    """The picture so far, at the rate that was asked for. Only the newest is kept."""
    message: str = ""
    """Why the job stopped or failed."""

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON data, without the preview itself."""
        return {
            "number": self.number,
            "state": self.state,
            "time": self.time,
            "step": self.step,
            "total": self.total,
            "phase": self.phase,
            "losses": dict(self.losses),
            "eta": self.eta,
            "preview": self.preview is not None,
            "message": self.message,
        }
