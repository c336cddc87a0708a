"""Ctrl-C during a task that a program calls: the work ends with the best result so far, which the exception carries."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from ganart_zoo.contract.defaults import standard_defaults

__all__ = ["Interrupted", "interruptible", "was_interrupted"]

P = ParamSpec("P")
R = TypeVar("R")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a task after the step that was under way."""

    def __init__(self, result: Any) -> None:
        super().__init__("stopped; the attribute result has what the task returns for its best result so far")
        self.result = result
        """What the task would have returned had `on_step` returned False; it is saved where an output was named. None
        where the task failed on its way to the end."""


class _Heard:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.asked:  # the second one ends the work at once
            raise KeyboardInterrupt
        self.asked = True


_heard: ContextVar[_Heard | None] = ContextVar("ganart_heard", default=None)


def was_interrupted() -> bool:
    """Return whether Ctrl-C was pressed during the task that runs here."""
    heard = _heard.get()
    return heard is not None and heard.asked


def interruptible(task: Callable[P, R]) -> Callable[P, R]:
    """Let the first Ctrl-C during a call end it as `on_step` does by returning False, and then raise `Interrupted`.

    That holds in the main thread, where Python's own handler would raise KeyboardInterrupt at once. A program that has
    a handler of its own keeps it. A second Ctrl-C raises KeyboardInterrupt at once.

    Nothing that the program has set in torch changes the result of the call; see `standard_defaults`.
    """

    @functools.wraps(task)
    def call(*arguments: P.args, **keywords: P.kwargs) -> R:
        with _listening() as heard:
            try:
                with standard_defaults():
                    result = task(*arguments, **keywords)
            except Exception as error:
                if heard is not None and heard.asked:
                    raise Interrupted(None) from error
                raise
        if heard is not None and heard.asked:
            raise Interrupted(result)
        return result

    return call


@contextmanager
def _listening() -> Iterator[_Heard | None]:
    """Listen for Ctrl-C, unless someone else does already, or nobody may here."""
    alone = threading.current_thread() is threading.main_thread()
    if _heard.get() is not None or not alone or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield None
        return
    heard = _Heard()
    token = _heard.set(heard)
    signal.signal(signal.SIGINT, heard)
    try:
        yield heard
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _heard.reset(token)
