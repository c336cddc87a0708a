"""What it takes to make a recorded picture again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ganart_zoo.contract.events import OnStep
from ganart_zoo.imaging.record import Record
from ganart_zoo.registry import Zoo
from ganart_zoo.running.loaded import Loaded, LoadOptions, recorded_model

__all__ = ["Rerun"]

L = TypeVar("L", bound=Loaded[Any])


@dataclass(frozen=True, eq=False)
class Rerun:
    """A recorded picture to make again; the argument of each verb's `rerun`."""

    zoo: Zoo
    """Where models come from."""
    record: Record
    files: Mapping[str, Path]
    """The input files by role, as `record.inputs` names them."""
    output: Path
    """Where the new picture goes; an existing file is replaced."""
    device: str
    """Where the model computes."""
    fetch: bool = False
    """Download missing weights."""
    on_step: OnStep | None = None
    """Called after each step. Work that was stopped stops at the same step again."""

    def load(self, kind: type[L]) -> L:
        """Load the recorded model with the options of its call.

        Raises:
            GanartError: It cannot be built as recorded.
        """
        model, how = self.model()
        return kind.load(self.zoo, model, **how)

    def model(self) -> tuple[str | Path, LoadOptions]:
        """Return the recorded model and how to load it; errors as those of `load`."""
        return recorded_model(self.record, device=self.device, fetch=self.fetch)
