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
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any, Literal

from ganart_zoo.contract.errors import GanartError
from ganart_zoo.registry import Zoo
from ganart_zoo.registry.processes import exit_reason, resident_of
from ganart_zoo.service.running import Aborted, Report, Watch, run
from ganart_zoo.service.verbs import find_verb

__all__ = ["GRACE", "JobMemoryError", "JobTimeoutError", "StartMethod", "Worker", "WorkerDiedError"]

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


class Worker:
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
        connection = self._started()
        asked: float | None = None
        since = time.monotonic()
        _send(connection, "run", verb, dict(arguments), preview)
        while True:
            now = time.monotonic()
            if timeout is not None and now - since > timeout:
                self.end()
                raise JobTimeoutError(f"{verb} took longer than its timeout of {timeout:g} seconds, and was ended")
            if memory is not None and (taken := self._resident()) > memory:
                self.end()
                raise JobMemoryError(
                    f"{verb} took {taken:.3g} bytes, more than its limit of {memory:.3g}, and was ended"
                )
            if asked is None and stop():
                asked = now
                with contextlib.suppress(OSError):
                    _send(connection, "stop")
            if asked is not None and now - asked > GRACE:
                self.end()
                raise Aborted
            try:
                if not connection.poll(_POLL):
                    continue
                kind, *more = pickle.loads(connection.recv_bytes())
            except (EOFError, OSError):
                code = self._exit_code()
                self.end()
                raise WorkerDiedError(f"the process of {verb} died ({code}); other jobs go on") from None
            if kind == "step":
                report(*more)
            elif kind == "done":
                return more[0], more[1]
            elif kind == "aborted":
                raise Aborted
            else:
                raise more[0]

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
        """Return the bytes of memory that the process takes; 0 where the system does not tell."""
        return 0 if self.pid is None else resident_of(self.pid) or 0

    def _exit_code(self) -> str:
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
        verb = find_verb(name)

        def report(*step: Any) -> None:
            _send(connection, "step", *step)

        def asked() -> str:
            return "asked" if stop.is_set() else ""

        try:
            result, stopped = run(made, verb, arguments, Watch(report, asked, preview, verb.keeps), asked)
            message = pickle.dumps(("done", result, stopped), protocol=5)
            del result
        except Aborted:
            message = pickle.dumps(("aborted",))
        except BaseException as error:
            message = _failure(error)
        connection.send_bytes(message)


def _failure(error: BaseException) -> bytes:
    """Return the message of an error; one that does not survive pickling becomes a GanartError of the same text."""
    try:
        found = pickle.dumps(("failed", error), protocol=5)
        pickle.loads(found)
        return found
    except Exception:
        return pickle.dumps(("failed", GanartError(f"{type(error).__name__}: {error}")))
