"""The queue: jobs wait, run in threads, and end."""

from __future__ import annotations

import heapq
import itertools
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from ganart_zoo.contract.errors import GanartError, SettingsError
from ganart_zoo.registry import Zoo
from ganart_zoo.service.events import State
from ganart_zoo.service.forecast import check_forecast
from ganart_zoo.service.history import History
from ganart_zoo.service.job import Job
from ganart_zoo.service.limits import Limits
from ganart_zoo.service.running import Aborted, Watch, run
from ganart_zoo.service.untrusted import UntrustedPolicy, check_request
from ganart_zoo.service.verbs import Verb, find_verb
from ganart_zoo.service.worker import Executor, Processes, Runner

__all__ = ["Jobs"]

_MODEL_BYTES = 2 << 30

_KEEP = 100

_EXECUTORS = ("threads", "processes", "spawn", "forkserver", "ray")

_IDLE = 10.0
"""Seconds without work after which a thread ends; the next job starts another."""


class Jobs:
    """Jobs of one program. An ordinary object: several can live in one process, and nothing is global.

    Args:
        zoo: Where models come from.
        folder: Keeps requests with copies of their inputs, and outcomes, across restarts: jobs that waited or ran when
            the process ended are queued again. Results are then read from files. None: in memory alone.
        executor: `"threads"`, or `"spawn"` or `"forkserver"` for processes (`"processes"` is `"spawn"`): a job that
            hangs can be ended there, and a crash fails one job. The script that uses processes needs Python's usual
            `if __name__ == "__main__":`. `"ray"`, or a `RayExecutor`: a Ray cluster; needs the extra `ray`.
        workers: How many jobs run at once. None: 1; on Ray, one a GPU of the cluster, or one a core where there is
            none.
        limits: The most that any job may take; a job's own limits can only be smaller.
        keep: How many jobs that have ended are remembered; None: 100 without a folder, else all.
        model_bytes: Bytes of models that are kept from one job to the next, and shared by jobs that run at once; those
            that were used least recently leave first. `zoo.release()` drops them.
        untrusted: Bounds on requests by strangers; None where all requests are the program's own.

    Example:
        >>> from ganart_zoo import Zoo
        >>> with Jobs(Zoo(plugins=[])) as jobs:
        ...     jobs.list()
        ()
    """

    def __init__(
        self,
        zoo: Zoo,
        folder: str | os.PathLike[str] | None = None,
        *,
        executor: Literal["threads", "processes", "spawn", "forkserver", "ray"] | Executor = "threads",
        workers: int | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        keep: int | None = None,
        model_bytes: int = _MODEL_BYTES,
        untrusted: UntrustedPolicy | None = None,
    ) -> None:
        keep = (_KEEP if folder is None else sys.maxsize) if keep is None else keep
        for name, value, least in (("workers", 1 if workers is None else workers, 1), ("keep", keep, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SettingsError(f"{name} is {value!r}, expected a whole number of at least {least}")
        self._executor = _executor_of(executor)
        started = 1 if self._executor is None else self._executor.start()
        self.zoo = zoo
        self._processes: dict[threading.Thread, Runner] = {}
        self._model_bytes = model_bytes
        try:
            self._history = None if folder is None else History(folder)
        except BaseException:
            if self._executor is not None:
                self._executor.close()
            raise
        self._give_back_models = zoo.models.reserve(model_bytes)
        self._idle_release: float | None = None
        self._idle_timer: threading.Timer | None = None
        self.limits = Limits.of(limits)
        self._untrusted = untrusted
        self._workers = workers or started
        self._keep = keep
        self._changed = threading.Condition()
        self._queue: list[tuple[int, int, Job]] = []
        self._order = itertools.count()
        self._jobs: dict[str, Job] = {}
        self._running: set[Job] = set()
        self._threads: set[threading.Thread] = set()
        self._waiting_threads = 0
        self._closed = False
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        if self._history is not None:
            self._restore(self._history)

    # -- for everybody

    def submit(
        self,
        task: str,
        *,
        priority: int = 0,
        limits: Limits | Mapping[str, Any] | None = None,
        preview: float | None = None,
        note: Mapping[str, Any] | None = None,
        **request: Any,
    ) -> Job:
        """Put a task into the queue.

        Args:
            task: A verb, such as `"stylize"`; `VERBS` has them.
            priority: Jobs of a higher one run first; among equals, the one that was submitted first.
            limits: See `Limits`.
            preview: Seconds between pictures of the state of the work in events; 0 for each step, None for none.
            note: JSON data of the caller's own, which stays with the job and is kept in the folder with it.
            **request: The arguments of the task, as in Python or as JSON has them.

        Raises:
            SettingsError: The task, an argument or a limit is unknown or not valid.
            ImageError: A picture cannot be read.
            GanartError: There is no such model, a setting does not fit it, or the jobs are closed.
        """
        verb = find_verb(task)
        arguments = verb.check(request)
        if self._untrusted is not None:
            check_request(self.zoo, verb, arguments, self._untrusted)
        self._check_model(verb, arguments)
        within = self.limits.within(Limits.of(limits))
        if self._executor is None and (within.timeout, within.memory) != (None, None):
            raise SettingsError(
                "limits of timeout and memory need jobs in processes, which can be ended; give Jobs "
                "executor='processes'"
            )
        check_forecast(self.zoo, verb, arguments, within)
        if preview is not None and not preview >= 0:
            raise SettingsError(f"preview is {preview!r:.40}, expected seconds of at least 0, or None")
        job = Job(
            task,
            arguments,
            priority=int(priority),
            limits=within,
            preview=preview,
            note=note,
            on_cancel=self._cancelled,
        )
        if self._closed:
            raise GanartError("these jobs are closed, and take no more")
        if self._history is not None:
            self._history.add(job)
        self._enqueue(job)
        return job

    def __getitem__(self, id: str) -> Job:
        """Return a job by its id; KeyError where there is none, or no more."""
        with self._changed:
            return self._jobs[id]

    def __contains__(self, id: object) -> bool:
        with self._changed:
            return id in self._jobs

    def __len__(self) -> int:
        with self._changed:
            return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self.list())

    def list(self, state: str | None = None) -> tuple[Job, ...]:
        """Return the jobs in the order of their submission, all or those in one state."""
        with self._changed:
            return tuple(job for job in self._jobs.values() if state is None or job.state == state)

    def place(self, job: Job) -> int | None:
        """Return how many jobs of the queue run before this one; None where it is not queued."""
        with self._changed:
            waiting = [each for _, _, each in sorted(self._queue, key=lambda item: item[:2]) if not each.done]
        return waiting.index(job) if job in waiting else None

    def forget(self, id: str) -> None:
        """Drop a job that has ended.

        Raises:
            KeyError: There is no such job.
            SettingsError: It has not ended.
        """
        with self._changed:
            job = self._jobs[id]
            if not job.done:
                raise SettingsError(f"job {id} is {job.state}; cancel it first")
            del self._jobs[id]
        if self._history is not None:
            self._history.forget(id)

    def close(self, *, timeout: float | None = None) -> None:
        """Stop all jobs and wait until those that run have ended, for at most `timeout` seconds.

        Jobs that wait in a folder are stopped here, and queued again by the next `Jobs` of that folder.
        """
        with self._changed:
            self._closed = True
            waiting = [job for _, _, job in self._queue]
            self._queue.clear()
            running = list(self._running)
        for job in waiting:
            job.ask_to_stop("closed")
            job.end("stopped")
        for job in running:
            job.cancel()
        with self._changed:
            self._changed.notify_all()
            threads = list(self._threads)
        until = None if timeout is None else time.monotonic() + timeout
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(None if until is None else max(0.0, until - time.monotonic()))
        self._stop_idle_timer()
        self._end_processes()
        if self._executor is not None:
            self._executor.close()
        self._give_back_models()
        if self._history is not None:
            self._history.close()
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def idle_release(self, seconds: float | None) -> None:
        """Release kept models, and memory that is not used, whenever no job runs or waits for so long.

        Args:
            seconds: None for never.

        Raises:
            SettingsError: It is not a number of at least 0.
        """
        if seconds is not None and not seconds >= 0:
            raise SettingsError(f"seconds is {seconds!r:.40}, expected at least 0, or None")
        self._idle_release = seconds
        self._watch_idleness()

    def __enter__(self) -> Jobs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- the threads

    def _cancelled(self, job: Job) -> None:
        with self._changed:
            waiting = any(job is each for _, _, each in self._queue)
            if waiting:
                self._queue = [item for item in self._queue if item[2] is not job]
                heapq.heapify(self._queue)
        if waiting:
            self._end(job, "stopped")
            self._prune()

    def _work(self) -> None:
        while True:
            job = self._next()
            if job is None:
                return
            try:
                self._run(job)
            except BaseException as error:  # a full disk, say; the thread goes on with the next job
                job.end("failed", error=error)
            finally:
                with self._changed:
                    self._running.discard(job)
                self._prune()
                self._watch_idleness()
                del job  # an idle thread holds no result

    def _next(self) -> Job | None:
        with self._changed:
            # a thread with a process of its own stays, for a new process takes seconds to start
            until = time.monotonic() + _IDLE if self._executor is None else math.inf
            while True:
                while self._queue:
                    _, _, job = heapq.heappop(self._queue)
                    if not job.done:
                        self._running.add(job)
                        return job
                left = min(until - time.monotonic(), threading.TIMEOUT_MAX)
                if self._closed or left <= 0:
                    self._threads.discard(threading.current_thread())
                    self._end_process(threading.current_thread())
                    return None
                self._waiting_threads += 1
                try:
                    self._changed.wait(left)
                finally:
                    self._waiting_threads -= 1

    def _run(self, job: Job) -> None:
        if not job.begin():
            self._end(job, "stopped")
            return
        if self._history is not None:
            self._history.began(job)
        verb = find_verb(job.task)
        stop = _stop_of(job)
        try:
            arguments = self._with_output(job, verb)
            if self._executor is None:
                watch = Watch(job.step, stop, job.preview, verb.keeps)
                result, stopped = run(self.zoo, verb, arguments, watch, stop)
            else:
                worker = self._worker(self._executor)
                result, stopped = worker.run(
                    job.task,
                    arguments,
                    job.step,
                    stop,
                    preview=job.preview,
                    timeout=job.limits.timeout,
                    memory=job.limits.memory,
                )
        except Aborted:
            self._end(job, "stopped")
        except BaseException as error:
            self._end(job, "failed", error=error)
        else:
            self._end(job, "stopped" if stopped else "finished", result=result, has_result=True)

    def _end(self, job: Job, state: State, *, error: BaseException | None = None, **result: Any) -> None:
        """End a job, once what is to be kept of it is written."""
        stored = None
        if self._history is not None and result:
            try:
                stored = self._history.store(job, result["result"])
            except GanartError as cause:
                state, error, result = "failed", cause, {}
            else:
                result["result"] = stored
        job.end(state, error=error, **result)
        if self._history is not None:
            self._history.ended(job, stored)

    def _with_output(self, job: Job, verb: Verb) -> dict[str, Any]:
        """Return the arguments, with a file of our own where the task cannot do without one."""
        arguments = dict(job.arguments)
        if verb.suffix and arguments.get("output") is None:
            if self._history is not None:
                arguments["output"] = self._history.output(job, verb.suffix)
                return arguments
            with self._changed:
                if self._scratch is None:
                    self._scratch = tempfile.TemporaryDirectory(prefix="ganart-jobs-")
                arguments["output"] = Path(self._scratch.name, f"{job.id}{verb.suffix}")
        return arguments

    def _enqueue(self, job: Job) -> None:
        with self._changed:
            self._jobs[job.id] = job
            heapq.heappush(self._queue, (-job.priority, next(self._order), job))
            if len(self._queue) > self._waiting_threads and len(self._threads) < self._workers:
                thread = threading.Thread(target=self._work, name="ganart-job", daemon=True)
                self._threads.add(thread)
                thread.start()
            self._changed.notify()

    def _restore(self, history: History) -> None:
        """Show the jobs of earlier processes, and queue again those that have not ended."""
        for row in history.rows():
            job = Job(
                row.task,
                row.request,
                priority=row.priority,
                limits=row.limits,
                preview=row.preview,
                note=row.note,
                id=row.id,
                on_cancel=self._cancelled,
            )
            job.created, job.started, job.ended = row.created, row.started, row.ended
            if row.state != "queued":
                error = GanartError(row.message or "it failed") if row.state == "failed" else None
                job.restore(row.state, row.ended, row.message, row.result, error)
                self._jobs[job.id] = job
                continue
            job.started = None
            try:
                job.arguments = history.arguments(row.id, row.task, row.request)
            except (GanartError, OSError, ValueError) as error:
                self._jobs[job.id] = job
                self._end(job, "failed", error=error)
                continue
            self._enqueue(job)

    def _worker(self, executor: Executor) -> Runner:
        thread = threading.current_thread()
        with self._changed:
            if thread not in self._processes:
                self._processes[thread] = executor.runner(self.zoo, self._model_bytes)
            return self._processes[thread]

    def _end_process(self, thread: threading.Thread) -> None:
        with self._changed:
            worker = self._processes.pop(thread, None)
        if worker is not None:
            worker.end()

    def _end_processes(self) -> None:
        for thread in list(self._processes):
            self._end_process(thread)

    def _watch_idleness(self) -> None:
        self._stop_idle_timer()
        with self._changed:
            if self._idle_release is None or self._closed or self._running or self._queue:
                return
            self._idle_timer = threading.Timer(self._idle_release, self._release_if_idle)
            self._idle_timer.daemon = True
            self._idle_timer.start()

    def _stop_idle_timer(self) -> None:
        with self._changed:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
                self._idle_timer = None

    def _release_if_idle(self) -> None:
        with self._changed:
            if self._running or self._queue:
                return
            self._end_processes()  # each starts again with its next job
        self.zoo.release()

    def _prune(self) -> None:
        with self._changed:
            ended = [id for id, job in self._jobs.items() if job.done]
            gone = ended[: max(0, len(ended) - self._keep)]
            for id in gone:
                del self._jobs[id]
        if self._history is not None:
            for id in gone:
                self._history.forget(id)

    def _check_model(self, verb: Verb, arguments: Mapping[str, Any]) -> None:
        """Refuse a model or setting that does not fit now, and not when its turn comes."""
        model = arguments.get("model")
        if verb.kind is None or not isinstance(model, str):
            return
        entry = self.zoo.entry(model)
        if entry.spec.kind != verb.kind:
            raise SettingsError(f"{entry.canonical} is a {entry.spec.kind}, and {verb.name} needs a {verb.kind}")
        known = self.zoo.settings(entry.canonical)
        _, for_call = known.sort(arguments.get("settings") or {})
        known.options(for_call)


def _executor_of(executor: Any) -> Executor | None:
    """Return what does the work; None for threads."""
    if hasattr(executor, "runner"):
        found: Executor = executor
        return found
    if executor == "threads":
        return None
    if executor in ("processes", "spawn"):
        return Processes("spawn")
    if executor == "forkserver":
        return Processes("forkserver")
    if executor == "ray":
        from ganart_zoo.service.cluster import RayExecutor

        return RayExecutor()
    raise SettingsError(f"executor is {executor!r:.40}, expected one of {', '.join(_EXECUTORS)}")


def _stop_of(job: Job) -> Callable[[], str]:
    """Return what says why a job should end: it was asked to, or its time is over."""
    since = time.monotonic()
    seconds = job.limits.seconds

    def stop() -> str:
        if not job.asked_to_stop and seconds is not None and time.monotonic() - since >= seconds:
            job.ask_to_stop(f"its limit of {seconds:g} seconds is over")
        return job.asked_to_stop

    return stop
