"""Long work on the command line: its progress is shown, and Ctrl-C ends it with the best result so far."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

import click

from ganart_zoo.cli.interrupt import Interrupt
from ganart_zoo.cli.progress import progress
from ganart_zoo.cli.show import INTERRUPTED, note

if TYPE_CHECKING:
    from ganart_zoo.contract.events import StepEvent

__all__ = ["LongWork", "exit_interrupted"]


class LongWork(AbstractContextManager["LongWork"]):
    """Shows progress while its block lasts, and once `start` was called lets Ctrl-C stop the work.

    Args:
        quiet: Show nothing.
        saving: What is saved when the work is stopped, for the message.
    """

    def __init__(self, quiet: bool, *, saving: str = "the picture as it is") -> None:
        self._progress = progress(quiet)
        self._interrupt = Interrupt(saving)
        self._open = ExitStack()
        self._started = False

    def __enter__(self) -> LongWork:
        self._open.enter_context(self._progress)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C was pressed since `start`."""
        return self._interrupt.asked

    def show(self, title: str) -> None:
        """Show the title of what is done now, without a step yet; Ctrl-C aborts it at once."""
        self._progress.begin(title)

    def start(self, title: str) -> None:
        """Show the title of work that can be stopped: from now on the first Ctrl-C makes `step` return False."""
        if not self._started:
            self._open.enter_context(self._interrupt)
            self._started = True
        self._progress.begin(title)

    def step(self, event: StepEvent) -> bool | None:
        """Show a step; an `on_step` for tasks."""
        self._progress.step(event)
        return False if self._interrupt.asked else None

    def bytes(self, here: int, total: int | None) -> None:
        """Show how far a download is."""
        self._progress.bytes(here, total)


def exit_interrupted(message: str | None) -> None:
    """Say what was kept of work that was stopped, and end with exit code 130."""
    if message is not None:
        note(message)
    click.get_current_context().exit(INTERRUPTED)
