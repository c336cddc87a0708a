"""Progress on standard error: a bar on a terminal, a line every few seconds elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ganart_zoo.cli.show import note

if TYPE_CHECKING:
    from ganart_zoo.contract.events import StepEvent

__all__ = ["Progress", "progress"]

_SECONDS_BETWEEN_LINES = 10.0
_NO_FIELDS: dict[str, Any] = {"count": "", "left": "", "terms": ""}


class Progress(AbstractContextManager["Progress"]):
    """Progress of a command. This one shows nothing."""

    def begin(self, title: str) -> None:
        """Show the title of new work; what came before is finished."""

    def step(self, event: StepEvent) -> None:
        """Show one step of a model."""

    def bytes(self, here: int, total: int | None) -> None:
        """Show how far a download is."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""


def progress(quiet: bool) -> Progress:
    """Return the kind of progress that suits standard error."""
    if quiet:
        return Progress()
    return _Bar() if sys.stderr.isatty() else _Lines()


class _Lines(Progress):
    """For logs: the title, the first step, then a line every few seconds, and the last step."""

    def __init__(self) -> None:
        self._title = ""
        self._due = 0.0

    def begin(self, title: str) -> None:
        self._title, self._due = title, 0.0
        note(title)

    def step(self, event: StepEvent) -> None:
        if time.monotonic() < self._due and event.step != event.total:
            return
        self._due = time.monotonic() + _SECONDS_BETWEEN_LINES
        of_total = "" if event.total is None else f"/{event.total}"
        note("  ".join(filter(None, (self._title, f"step {event.step}{of_total}", event.phase, _terms(event.losses)))))

    def bytes(self, here: int, total: int | None) -> None:
        if time.monotonic() < self._due and here != total:
            return
        self._due = time.monotonic() + _SECONDS_BETWEEN_LINES
        of_total = "" if total is None else f" of {total / 1e6:.1f}"
        note(f"{self._title}  {here / 1e6:.1f}{of_total} MB")


class _Bar(Progress):
    """A bar with the phase, the terms of the loss, the time so far and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            # The only column that shrinks on a narrow terminal.
            TextColumn("[dim]{task.fields[terms]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            console=Console(stderr=True),
            expand=True,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # otherwise results meant for a file would go to standard error
            speed_estimate_period=15,
        )
        self._task = self._bar.add_task("", total=None, visible=False, **_NO_FIELDS)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, title: str) -> None:
        from rich.markup import escape

        self._bar.reset(self._task, total=None, description=escape(title), visible=True, **_NO_FIELDS)

    def step(self, event: StepEvent) -> None:
        from rich.markup import escape

        of_total = "" if event.total is None else f"/{event.total}"
        terms = escape("  ".join(filter(None, (event.phase, _terms(event.losses)))))
        self._update(event.step, event.total, f"{event.step}{of_total}", terms)

    def bytes(self, here: int, total: int | None) -> None:
        of_total = "" if total is None else f"/{total / 1e6:.1f}"
        self._update(here, total, f"{here / 1e6:.1f}{of_total} MB", "")

    def _update(self, done: int, total: int | None, count: str, terms: str) -> None:
        self._bar.update(self._task, completed=done, total=total, count=count, terms=terms)
        seconds = self._bar.tasks[0].time_remaining
        left = "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"
        self._bar.update(self._task, left=left)


def _terms(losses: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
