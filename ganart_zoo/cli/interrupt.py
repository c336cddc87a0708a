"""Ctrl-C during long work: the first asks for the best picture so far, the second aborts at once."""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Any

from ganart_zoo.cli.show import note

__all__ = ["Interrupt"]


class Interrupt(AbstractContextManager["Interrupt"]):
    """Takes SIGINT over while its block lasts.

    Args:
        saving: What the work saves when it is stopped, for the message.
    """

    def __init__(self, saving: str = "the picture as it is") -> None:
        self.asked = False
        """Ctrl-C was pressed once."""
        self._before: Any = None
        self._saving = saving

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        note(f"stopping after this step, to save {self._saving}; Ctrl-C again aborts without it")
