"""Reports of work that optimises one picture of a batch after the other, or all of them together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from ganart_zoo.contract.events import OnStep, StepEvent

__all__ = ["Progress"]


class Progress:
    """Reports each step to the caller, and remembers whether the caller asked for an end.

    Args:
        result: `[n, 3, H, W]`: what the call would return now. The owner fills in the rows that are finished.
        total: Steps that the call takes at most.
        on_step: The caller's. None: nobody is told.
    """

    def __init__(self, result: Tensor, total: int, on_step: OnStep | None) -> None:
        self._result = result
        self._total = total
        self._on_step = on_step
        self._rows: slice | int = slice(None)
        self._done = 0
        self.stopped = False
        """Whether the caller asked for an end."""

    def begin(self, row: int) -> None:
        """Say that the next steps belong to this row alone."""
        self._rows = row

    def step(self, losses: Mapping[str, Tensor], picture: Callable[[], Tensor], phase: str) -> bool:
        """Report one step, and return whether to stop.

        Args:
            losses: Named scalars.
            picture: Returns the picture of the row, or of all rows, as it would be returned: `[1 or n, 3, H, W]`.
            phase: For a progress bar, such as `"256 px"`. The row's number is put before it where there are several.
        """
        self._done += 1
        if self._on_step is None:
            return False

        def preview() -> Tensor:
            pictures = self._result.clone()
            pictures[self._rows] = picture() if isinstance(self._rows, slice) else picture()[0]
            return pictures.clamp_(0, 1)

        if isinstance(self._rows, int) and len(self._result) > 1:
            phase = f"picture {self._rows + 1}, {phase}"
        values = {name: float(value) for name, value in losses.items()}
        self.stopped = self._on_step(StepEvent(self._done, self._total, phase, values, preview)) is False
        return self.stopped
