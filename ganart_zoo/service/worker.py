"""Runs jobs in a process of its own, which can be ended when a plugin hangs, and whose crash fails one job."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, Literal, Protocol

from ganart_zoo.contract.errors import GanartError
from ganart_zoo.registry import Zoo
from ganart_zoo.registry.processes import exit_reason, resident_of
from ganart_zoo.service.running import Aborted, Report, Watch, run
from ganart_zoo.service.verbs import find_verb

__all__ = [
    "GRACE",
    "Executor",
    "JobMemoryError",
    "JobTimeoutError",
    "Processes",
    "Runner",
    "StartMethod",
    "Worker",
    "WorkerDiedError",
    "perform",
]

StartMethod = Literal["spawn", "forkserver"]

GRACE = 10.0
"""Seconds that a job has to stop once it was asked to; then its process is ended."""

_POLL = 0.02


class WorkerDiedError(GanartError):
    """The process of a job ended by itself, as after a crash in native code or for want of memory."""


class JobMemoryError(GanartError):
    """The process of a job took more memory than its limit, and was ended."""


class JobTimeoutError(GanartError):
    """A job took longer than its `timeout`, and its process was ended."""


class Runner(ABC):
    """Does the jobs of one thread of `Jobs`, in a process elsewhere. Used by one thread."""

    def run(
        self,
        verb: str,
        arguments: Mapping[str, Any],
        report: Report,
        stop: Callable[[], str],
        *,
        preview: float | None,
        timeout: float | None,
        memory: float | None = None,
    ) -> tuple[Any, bool]:
        """Do the work of a job, and return its result and whether it was stopped early.

        Raises:
            Aborted: It was stopped and has no result.
            WorkerDiedError, JobTimeoutError, JobMemoryError: The process ended, or was ended.
            BaseException: What the task raised.
        """
        begun = self._begin(verb, arguments, preview)
        since = time.monotonic()
        asked: float | None = None
        while True:
            now = time.monotonic()
            if begun and timeout is not None and now - since > timeout:
                self.end()
                raise JobTimeoutError(f"{verb} took longer than its timeout of {timeout:g} seconds, and was ended")
            if begun and memory is not None and (taken := self._resident()) > memory:
                self.end()
                raise JobMemoryError(
                    f"{verb} took {taken:.3g} bytes, more than its limit of {memory:.3g}, and was ended"
                )
            if asked is None and stop():
                asked = now
                if not begun:  # it may wait for a free machine for long
                    self.end()
                    raise Aborted
                with contextlib.suppress(OSError):
                    self._ask_to_stop()
            if asked is not None and now - asked > GRACE:
                self.end()
                raise Aborted
            try:
                messages = self._receive(_POLL)
            except (EOFError, OSError) as error:
                cause = self._cause(error)
                self.end()
                raise WorkerDiedError(f"the process of {verb} died ({cause}); other jobs go on") from None
            for kind, *more in messages:
                if kind == "step":
                    report(*more)
                elif kind == "begun":
                    begun, since = True, time.monotonic()
                elif kind == "done":
                    return more[0], more[1]
                elif kind == "aborted":
                    raise Aborted
                else:
                    raise more[0]

    @abstractmethod
    def end(self) -> None:
        """End the process at once; the next job starts another."""

    @abstractmethod
    def _begin(self, verb: str, arguments: Mapping[str, Any], preview: float | None) -> bool:
        """Start a job, and return whether it began; else a message "begun" will say so."""

    @abstractmethod
    def _ask_to_stop(self) -> None:
        """Ask the job to stop at its next step."""

    @abstractmethod
    def _receive(self, seconds: float) -> Sequence[tuple[Any, ...]]:
        """Return what the job says within some seconds; OSError or EOFError where its process is gone."""

    @abstractmethod
    def _resident(self) -> int:
        """Return the bytes of memory that the process takes; 0 where nobody can tell."""

    @abstractmethod
    def _cause(self, error: Exception) -> str:
        """Return why the process is gone."""


class Executor(Protocol):
    """Where `Jobs` have their work done, if not in their own threads."""

    def start(self) -> int:
        """Get ready, and return how many jobs to run at once unless the caller says."""

    def runner(self, zoo: Zoo, model_bytes: int) -> Runner:
        """Return what does the jobs of one thread; it keeps models of so many bytes."""

    def close(self) -> None:
        """Give everything back. All runners were ended."""


class Processes:
    """Processes of this machine.

    Args:
        method: How they start.
    """

    def __init__(self, method: StartMethod) -> None:
        self._method: StartMethod = method

    def start(self) -> int:
        """Return 1: one job at a time."""
        return 1

    def runner(self, zoo: Zoo, model_bytes: int) -> Worker:
        """Return a process, which starts with its first job."""
        return Worker(zoo, self._method, model_bytes)

    def close(self) -> None:
        """Do nothing: there is nothing but the workers."""


class Worker(Runner):
    """One process; it starts with its first job, and again after it was ended. Used by one thread.

    Args:
        zoo: Made again in the process; its plugins are found by their names.
        method: How the process starts.
        model_bytes: As for `Jobs`.
    """

    def __init__(self, zoo: Zoo, method: StartMethod, model_bytes: int) -> None:
        self._zoo = pickle.dumps(zoo)
        self._context: Any = multiprocessing.get_context(method)  # the base class does not know Process
        self._model_bytes = model_bytes
        self._process: Any = None
        self._connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """The process that runs now, if one does."""
        return None if self._process is None else self._process.pid

    def end(self) -> None:
        """End the process at once."""
        atexit.unregister(self.end)
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if process is not None:
            process.kill()
            process.join()
            process.close()
        if connection is not None:
            connection.close()

    def _begin(self, verb: str, arguments: Mapping[str, Any], preview: float | None) -> bool:
        _send(self._started(), "run", verb, dict(arguments), preview)
        return True

    def _ask_to_stop(self) -> None:
        if self._connection is not None:
            _send(self._connection, "stop")

    def _receive(self, seconds: float) -> Sequence[tuple[Any, ...]]:
        if self._connection is None:
            raise EOFError
        return [pickle.loads(self._connection.recv_bytes())] if self._connection.poll(seconds) else ()

    def _started(self) -> Connection:
        if self._process is not None and self._process.is_alive() and self._connection is not None:
            return self._connection
        self.end()
        ours: Connection
        ours, theirs = self._context.Pipe()
        target = (theirs, self._zoo, self._model_bytes)
        # not a daemon: those may have no children, and loaders of data start some
        self._process = self._context.Process(target=_serve, args=target, name="ganart-job", daemon=False)
        self._process.start()
        atexit.register(self.end)  # else Python would wait for it when the host exits without closing its jobs
        theirs.close()
        self._connection = ours
        return ours

    def _resident(self) -> int:
        return 0 if self.pid is None else resident_of(self.pid) or 0

    def _cause(self, error: Exception) -> str:
        if self._process is None:
            return "it was ended"
        self._process.join(5)
        return exit_reason(self._process.exitcode)


def _send(connection: Connection, *message: Any) -> None:
    # not connection.send: torch would put tensors into shared memory that outlives the message
    connection.send_bytes(pickle.dumps(message, protocol=5))


def _serve(connection: Connection, zoo: bytes, model_bytes: int) -> None:
    """Run jobs until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the host's, which ends this process if it likes
    inbox: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    stop = threading.Event()

    def listen() -> None:
        try:
            while True:
                kind, *more = pickle.loads(connection.recv_bytes())
                if kind == "run":
                    stop.clear()
                    inbox.put(tuple(more))
                else:
                    stop.set()
        except (EOFError, OSError):
            os._exit(0)  # the host is gone, and nobody wants the result

    threading.Thread(target=listen, daemon=True).start()
    made: Zoo = pickle.loads(zoo)
    made.models.reserve(model_bytes)
    while True:
        name, arguments, preview = inbox.get()
        perform(made, name, arguments, preview, connection.send_bytes, stop.is_set)


def perform(
    zoo: Zoo,
    name: str,
    arguments: Mapping[str, Any],
    preview: float | None,
    send: Callable[[bytes], None],
    stopped: Callable[[], bool],
) -> None:
    """Do a job in the process of a `Runner`, and send it messages; the last says how it ended.

    Args:
        zoo: Where its models come from.
        name: The verb.
        arguments: Checked ones.
        preview: Seconds between previews; None for none.
        send: Takes each message, pickled.
        stopped: Returns whether the job was asked to stop.
    """

    def report(*step: Any) -> None:
        send(pickle.dumps(("step", *step), protocol=5))

    def asked() -> str:
        return "asked" if stopped() else ""

    try:
        verb = find_verb(name)
        result, early = run(zoo, verb, arguments, Watch(report, asked, preview, verb.keeps), asked)
        message = pickle.dumps(("done", result, early), protocol=5)
        del result
    except Aborted:
        message = pickle.dumps(("aborted",))
    except BaseException as error:
        message = _failure(error)
    send(message)


def _failure(error: BaseException) -> bytes:
    """Return the message of an error; one that does not survive pickling becomes a GanartError of the same text."""
    try:
        found = pickle.dumps(("failed", error), protocol=5)
        pickle.loads(found)
        return found
    except Exception:
        return pickle.dumps(("failed", GanartError(f"{type(error).__name__}: {error}")))
