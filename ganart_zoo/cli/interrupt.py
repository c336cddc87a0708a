"""Ctrl-C during long work: the first asks for the best result so far, the second aborts at once.

SIGTERM, which schedulers and launchers send when time is up, works in the same way.
"""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Any

from ganart_zoo.cli.show import note

__all__ = ["Interrupt"]


class Interrupt(AbstractContextManager["Interrupt"]):
    """Handles SIGINT and SIGTERM while its block lasts.

    Args:
        saving: What is saved when the work is stopped, for the message.
    """

    def __init__(self, saving: str = "the picture as it is") -> None:
        self.asked = False
        """Ctrl-C was pressed once, or SIGTERM came."""
        self._before: dict[signal.Signals, Any] = {}
        self._saving = saving

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # other threads may not set handlers
            self._before = {each: signal.signal(each, self._handle) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each, before in self._before.items():
            signal.signal(each, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        note(f"stopping after this step, to save {self._saving}; Ctrl-C again aborts without it")
