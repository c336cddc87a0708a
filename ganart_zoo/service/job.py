"""One job: its state, its events, and its result."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from PIL import Image

from ganart_zoo.contract.errors import GanartError
from ganart_zoo.service.events import ENDED, JobEvent, State
from ganart_zoo.service.limits import Limits
from ganart_zoo.service.outcome import MadePicture, pictures_of

__all__ = ["Job", "JobEvents", "JobStoppedError"]

_KEPT_EVENTS = 256
"""Events that a job remembers; a reader that is further behind misses the oldest."""


class JobStoppedError(GanartError):
    """A job was stopped before it had a result."""


class Job:
    """A task that was submitted. Its methods may be called from any thread; `await job` waits for the result."""

    def __init__(
        self,
        task: str,
        arguments: Mapping[str, Any],
        *,
        priority: int = 0,
        limits: Limits | None = None,
        preview: float | None = None,
        note: Mapping[str, Any] | None = None,
        id: str | None = None,
        on_cancel: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.id = id or secrets.token_hex(8)
        self.task = task
        self.arguments = dict(arguments)
        """The checked arguments of the task."""
        self.priority = priority
        self.limits = limits or Limits()
        self.preview = preview
        """Seconds between previews; None for none."""
        self.note = dict(note or {})
        """What the caller wants to remember of it, as JSON data."""
        self.created = time.time()
        self.started: float | None = None
        self.ended: float | None = None
        self._on_cancel = on_cancel
        self._changed = threading.Condition()
        self._events: deque[JobEvent] = deque(maxlen=_KEPT_EVENTS)
        self._state: State = "queued"
        self._asked_to_stop = ""
        self._result: Any = None
        self._has_result = False
        self._error: BaseException | None = None
        self._wakers: set[Callable[[], None]] = set()
        self._number = 0
        self._newest_preview: Image.Image | None = None
        self._announce("queued")

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} {self.state}>"

    # -- for everybody

    @property
    def state(self) -> State:
        """`queued`, `running`, `finished`, `stopped` or `failed`."""
        return self._state

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._state in ENDED

    @property
    def error(self) -> BaseException | None:
        """What a failed job raised."""
        return self._error

    @property
    def reason(self) -> str:
        """Why a job stopped or failed; empty for others."""
        return self.last_event.message

    @property
    def last_event(self) -> JobEvent:
        """The newest event."""
        with self._changed:
            return self._events[-1]

    @property
    def newest_preview(self) -> Image.Image | None:
        """The newest preview of a job that runs."""
        return self._newest_preview

    def cancel(self) -> bool:
        """Stop the job: at once where it is queued, else at its next step, with its best result so far.

        Returns:
            Whether the job had not ended yet.
        """
        with self._changed:
            if self.done:
                return False
            self._asked_to_stop = self._asked_to_stop or "cancelled"
        self._on_cancel(self)
        return True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job has ended, for at most `timeout` seconds, and return whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: self.done, timeout)

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the result of the task. Of a job that was stopped, it is the best so far, if there is one.

        Raises:
            TimeoutError: The job has not ended after `timeout` seconds; it goes on.
            JobStoppedError: The job was stopped before it had a result.
            Exception: What the task raised, if the job failed.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"job {self.id} has not ended after {timeout:g} seconds")
        if self._error is not None:
            raise self._error
        if not self._has_result:
            raise JobStoppedError(f"job {self.id} was stopped before it had a result: {self.reason or 'cancelled'}")
        return self._result

    def pictures(self) -> tuple[MadePicture, ...]:
        """Return the pictures of the result, with their records; errors as those of `result(0)`."""
        return pictures_of(self.result(0))

    def events(self, *, after: int = 0) -> JobEvents:
        """Return an iterator over the events, for `for` and for `async for`, which ends with the job.

        Args:
            after: The number of the last event that is known already, so that a reader can go on where it was.
        """
        return JobEvents(self, after)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    def to_json(self) -> dict[str, Any]:
        """Return the state of the job as JSON data."""
        return {
            "id": self.id,
            "task": self.task,
            "state": self.state,
            "priority": self.priority,
            "created": self.created,
            "started": self.started,
            "ended": self.ended,
            **{key: value for key, value in self.last_event.to_json().items() if key not in ("state", "time")},
        }

    # -- for those who run it

    @property
    def asked_to_stop(self) -> str:
        """Why the job should stop; empty where it should not."""
        return self._asked_to_stop

    def ask_to_stop(self, reason: str) -> None:
        """Ask a running job to stop at its next step."""
        with self._changed:
            self._asked_to_stop = self._asked_to_stop or reason

    def begin(self) -> bool:
        """Say that the job runs now; False where it must not, because it was cancelled."""
        with self._changed:
            if self.done or self._asked_to_stop:
                return False
            self.started = time.time()
            self._announce("running")
            return True

    def step(
        self,
        step: int,
        total: int | None,
        phase: str,
        losses: Mapping[str, float],
        eta: float | None,
        preview: Image.Image | None,
    ) -> None:
        """Report a step."""
        with self._changed:
            if self.done:
                return
            if preview is not None:
                self._newest_preview = preview
                for place, event in enumerate(self._events):
                    if event.preview is not None:
                        self._events[place] = replace(event, preview=None)
            self._announce(
                "running", step=step, total=total, phase=phase, losses=dict(losses), eta=eta, preview=preview
            )

    def end(
        self, state: State, *, result: Any = None, has_result: bool = False, error: BaseException | None = None
    ) -> None:
        """Say how the job ended. Only the first call counts."""
        with self._changed:
            if self.done:
                return
            self._result, self._has_result, self._error = result, has_result, error
            self.ended = time.time()
            self._newest_preview = None
            message = str(error) if state == "failed" else self._asked_to_stop if state == "stopped" else ""
            last = self._events[-1]
            self._announce(state, step=last.step, total=last.total, phase=last.phase, message=message)

    def restore(self, state: str, ended: float | None, message: str, result: Any, error: BaseException | None) -> None:
        """Show the job as an earlier process ended it."""
        with self._changed:
            self._result, self._has_result, self._error = result, result is not None, error
            self.ended = ended
            self._announce(cast(State, state), message=message)

    def on_change(self, waker: Callable[[], None]) -> None:
        """Have a function called, in any thread, whenever there is a new event."""
        with self._changed:
            self._wakers.add(waker)

    def off_change(self, waker: Callable[[], None]) -> None:
        """Take a function of `on_change` back."""
        with self._changed:
            self._wakers.discard(waker)

    def events_after(self, number: int) -> list[JobEvent]:
        """Return the events after that of `number` which are remembered."""
        with self._changed:
            return [event for event in self._events if event.number > number]

    def wait_for_event(self, number: int) -> list[JobEvent]:
        """Wait for events after that of `number`; none where the job has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number or self.done)
            return [event for event in self._events if event.number > number]

    def _announce(self, state: State, **more: Any) -> None:
        with self._changed:
            self._state = state
            self._number += 1
            self._events.append(JobEvent(self._number, state, time.time(), **more))
            self._changed.notify_all()
            wakers = list(self._wakers)
        for waker in wakers:
            waker()

    async def _wait(self) -> Any:
        async for _ in JobEvents(self, self.last_event.number):
            pass
        return self.result(0)


class JobEvents(Iterator[JobEvent], AsyncIterator[JobEvent]):
    """The events of a job, one after another, until it ends."""

    def __init__(self, job: Job, after: int = 0) -> None:
        self._job = job
        self._last = after
        self._ready: deque[JobEvent] = deque()

    def __iter__(self) -> JobEvents:
        return self

    def __next__(self) -> JobEvent:
        if not self._ready:
            self._ready.extend(self._job.wait_for_event(self._last))
        return self._take(StopIteration)

    def __aiter__(self) -> JobEvents:
        return self

    async def __anext__(self) -> JobEvent:
        if not self._ready:
            await self._wait()
        return self._take(StopAsyncIteration)

    def _take(self, over: type[Exception]) -> JobEvent:
        if not self._ready:
            raise over
        event = self._ready.popleft()
        self._last = event.number
        return event

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(news.set)

        self._job.on_change(wake)
        try:
            while True:
                self._ready.extend(self._job.events_after(self._last))
                if self._ready or self._job.done:
                    # the end may have come between the two
                    if not self._ready:
                        self._ready.extend(self._job.events_after(self._last))
                    return
                await news.wait()
                news.clear()
        finally:
            self._job.off_change(wake)
