"""Runs one job in the thread that calls: steps become events, and a request to stop ends the work."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from ganart_zoo.contract.events import StepEvent
from ganart_zoo.registry import Zoo
from ganart_zoo.service.outcome import preview_of
from ganart_zoo.service.verbs import Verb

__all__ = ["Aborted", "Watch", "run"]

PREVIEW_SIDE = 512
"""Pixels of the long side of a preview."""

Report = Callable[[int, "int | None", str, Mapping[str, float], "float | None", "Image.Image | None"], None]
"""Called with step, total, phase, losses, seconds left and preview."""


class Aborted(BaseException):  # not an Exception, so that no guard takes it for a fault of a plugin
    """The work ends without a result."""


class Watch:
    """The `on_step` of a job.

    Args:
        report: Told each step.
        stop: Returns why the work should end; empty where it should not.
        preview: Seconds between previews; None for none.
        keeps: Whether the task returns its best so far where the callback returns False.
    """

    def __init__(self, report: Report, stop: Callable[[], str], preview: float | None, keeps: bool) -> None:
        self._report, self._stop, self._keeps = report, stop, keeps
        self._every = preview
        self._shown = -float("inf")
        self._first: tuple[float, int] | None = None

    def __call__(self, event: StepEvent) -> bool | None:
        now = time.monotonic()
        picture = None
        if self._every is not None and now - self._shown >= self._every:
            picture = preview_of(event.preview(), PREVIEW_SIDE)
            self._shown = now
        self._report(event.step, event.total, event.phase, event.losses, self._left(now, event), picture)
        if not self._stop():
            return None
        if not self._keeps:
            raise Aborted
        return False

    def _left(self, now: float, event: StepEvent) -> float | None:
        if self._first is None or event.step <= self._first[1]:
            self._first = (now, event.step)
            return None
        since, step = self._first
        if event.total is None:
            return None
        return max(0.0, (event.total - event.step) * (now - since) / (event.step - step))


def run(zoo: Zoo, verb: Verb, arguments: Mapping[str, Any], watch: Watch, stop: Callable[[], str]) -> tuple[Any, bool]:
    """Do the work, and return its result and whether it was stopped early.

    Raises:
        Aborted: It was stopped and has no result.
        BaseException: What the task raised.
    """
    if stop():
        raise Aborted
    result = verb.call(zoo, arguments, watch)
    return result, bool(getattr(result, "stopped", False))
