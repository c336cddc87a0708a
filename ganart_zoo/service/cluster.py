"""Runs jobs on a Ray cluster: one actor a device, which keeps its models from job to job. Needs the extra `ray`."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganart_zoo import __version__
from ganart_zoo.contract.errors import GanartError, SettingsError
from ganart_zoo.running.memory import resident
from ganart_zoo.running.pictures import NamedBytes
from ganart_zoo.service.running import Aborted, Report
from ganart_zoo.service.verbs import find_verb
from ganart_zoo.service.worker import Runner, WorkerDiedError, perform

if TYPE_CHECKING:
    from ganart_zoo.registry import Zoo

__all__ = ["Actor", "RayExecutor"]

_log = logging.getLogger(__name__)

_HEARTBEAT = 1.0
"""Seconds after which an actor that has nothing else to say tells how much memory it takes."""

_PARTS = ("image", "region", "source_region")
"""Of a style, those that are pictures."""

_ours = 0
"""How many executors use a cluster that one of them started; the last one ends it."""
_access = threading.Lock()


class RayExecutor:
    """A Ray cluster: for `Jobs(executor=...)`. One actor does the jobs of each worker, and keeps its models.

    A program that called `ray.init` keeps its cluster. Otherwise Ray's own rule finds one: `address`, the environment
    variable `RAY_ADDRESS`, a cluster that was started on this machine, or else a new one of this machine alone, which
    ends with the last `Jobs` that uses it. A cluster that is started here reports nothing and has no dashboard.

    Pictures are sent with a job. Any other path (a run, a folder, an output) is opened by the machine that does the
    job, so it has to mean the same there. Every machine needs ganart-zoo and the plugins in the same versions.

    Args:
        address: Of the cluster; `"local"` starts one of this machine alone.
        num_cpus: Cores of one worker, which are also the threads of its models.
        num_gpus: GPUs of one worker. None: one where the cluster has GPUs. Jobs still ask for `device="cuda"`.
        retries: How often a job is begun again whose actor or machine died.
        runtime_env: See Ray: packages, or environment variables, that the actors need.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        num_cpus: float = 1,
        num_gpus: float | None = None,
        retries: int = 2,
        runtime_env: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value, least in (("num_cpus", num_cpus, 0), ("num_gpus", num_gpus or 0, 0), ("retries", retries, 0)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
                raise SettingsError(f"{name} is {value!r:.40}, expected a number of at least {least}")
        self._address = address
        self._num_cpus = num_cpus
        self._num_gpus = num_gpus
        self._retries = int(retries)
        self._runtime_env = dict(runtime_env or {})
        self._owns = False

    def start(self) -> int:
        """Find or start the cluster, and return one worker a GPU, or one for each `num_cpus` cores without GPUs.

        Raises:
            GanartError: Ray is not installed, or there is no cluster.
        """
        global _ours
        with _access:
            ray = _load_ray()
            if not ray.is_initialized():
                _start(ray, self._address)
                self._owns = True
            elif _ours:
                self._owns = True
            _ours += self._owns
            has = ray.cluster_resources()
        if self._num_gpus is None:
            self._num_gpus = 1 if has.get("GPU") else 0
        if self._num_gpus:
            return max(1, int(has.get("GPU", 0) / self._num_gpus))
        return max(1, int(has.get("CPU", 1) / max(self._num_cpus, 1)))

    def runner(self, zoo: Zoo, model_bytes: int) -> Runner:
        """Return what does the jobs of one worker; its actor starts with the first."""
        how: dict[str, Any] = {
            "num_cpus": self._num_cpus,
            "num_gpus": self._num_gpus or 0,
            "max_restarts": 0,  # its runner starts another
            "max_task_retries": 0,
            "max_concurrency": 2,  # a job, and the request to stop it
            "scheduling_strategy": "SPREAD",
        }
        if self._runtime_env:
            how["runtime_env"] = self._runtime_env
        return _RayRunner(zoo, model_bytes, how, self._retries)

    def close(self) -> None:
        """End the cluster, if it was started here and nobody else uses it."""
        global _ours
        with _access:
            if self._owns:
                self._owns = False
                _ours -= 1
                if not _ours:
                    _load_ray().shutdown()


class Actor:
    """What runs on the cluster: does one job after another by the same code as a process of this machine."""

    def __init__(self, zoo: bytes, model_bytes: int, version: str) -> None:
        self._pickled, self._model_bytes, self._version = zoo, model_bytes, version
        self._zoo: Zoo | None = None
        self._stop = threading.Event()

    def run(self, name: str, arguments: bytes, preview: float | None) -> Iterator[list[bytes]]:
        """Do a job, and yield its messages, some at a time."""
        self._stop.clear()
        yield [pickle.dumps(("begun",))]
        messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, args=(name, arguments, preview, messages.put), daemon=True).start()
        while True:
            try:
                batch = [messages.get(timeout=_HEARTBEAT)]
            except queue.Empty:
                yield [pickle.dumps(("resident", resident()))]
                continue
            with contextlib.suppress(queue.Empty):
                while True:
                    batch.append(messages.get_nowait())
            yield [message for message in batch if message is not None]
            if batch[-1] is None:
                return

    def stop(self) -> None:
        """Ask the job that runs to stop at its next step."""
        self._stop.set()

    def _work(self, name: str, arguments: bytes, preview: float | None, send: Callable[[bytes | None], None]) -> None:
        try:
            zoo = self._made()
            perform(zoo, name, pickle.loads(arguments), preview, send, self._stop.is_set)
        except BaseException as error:
            text = f"a machine of the cluster cannot do jobs: {type(error).__name__}: {error}"
            send(pickle.dumps(("failed", error if isinstance(error, GanartError) else GanartError(text))))
        send(None)

    def _made(self) -> Zoo:
        if self._zoo is None:
            if self._version != __version__:
                raise GanartError(f"a machine of the cluster has ganart-zoo {__version__}, expected {self._version}")
            self._zoo = pickle.loads(self._pickled)
            self._zoo.models.reserve(self._model_bytes)
        return self._zoo


class _RayRunner(Runner):
    """One actor; it starts with its first job, and again after it ended."""

    def __init__(self, zoo: Zoo, model_bytes: int, how: Mapping[str, Any], retries: int) -> None:
        self._given = (pickle.dumps(zoo), model_bytes, __version__)
        self._how = dict(how)
        self._retries = retries
        self._actor: Any = None
        self._messages: Any = None
        self._bytes = 0

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
        sent = _sent(verb, arguments)
        for left in range(self._retries, -1, -1):
            try:
                return super().run(verb, sent, report, stop, preview=preview, timeout=timeout, memory=memory)
            except WorkerDiedError as error:
                if stop():
                    raise Aborted from None
                if not left:
                    raise
                _log.warning("%s; the job is begun again", error)
        raise AssertionError("unreachable")

    def end(self) -> None:
        actor, self._actor, self._messages = self._actor, None, None
        if actor is not None:
            with contextlib.suppress(Exception):  # the cluster may be gone
                _load_ray().kill(actor, no_restart=True)

    def _begin(self, verb: str, arguments: Mapping[str, Any], preview: float | None) -> bool:
        if self._actor is None:
            ray = _load_ray()
            self._actor = ray.remote(Actor).options(**self._how).remote(*self._given)
        self._bytes = 0
        data = pickle.dumps(dict(arguments), protocol=5)
        self._messages = self._actor.run.options(num_returns="streaming").remote(verb, data, preview)
        return False

    def _ask_to_stop(self) -> None:
        if self._actor is not None:
            self._actor.stop.remote()

    def _receive(self, seconds: float) -> Sequence[tuple[Any, ...]]:
        ray = _load_ray()
        if (messages := self._messages) is None:
            raise EOFError
        try:
            if not ray.wait([messages], timeout=seconds)[0]:
                return ()
            batch = [pickle.loads(each) for each in ray.get(next(messages))]
        except StopIteration:
            raise EOFError from None
        except ray.exceptions.RayError as error:
            raise OSError(str(error)) from None
        for kind, *more in batch:
            if kind == "resident":
                self._bytes = more[0]
        return [message for message in batch if message[0] != "resident"]

    def _resident(self) -> int:
        return self._bytes

    def _cause(self, error: Exception) -> str:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("The actor is dead because")]
        return (told or lines or ["it was ended"])[0].partition(" Some common causes")[0][:200]


def _sent(verb: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with the pictures of files in the place of their paths; an unreadable one stays."""
    known = find_verb(verb).pictures
    return {
        name: _picture(value) if name in known else _styles(value) if name == "styles" else value
        for name, value in arguments.items()
    }


def _styles(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_styles(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        parts = {one.name: _picture(getattr(value, one.name)) for one in fields(value) if one.name in _PARTS}
        return replace(value, **parts)
    return _picture(value)


def _picture(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_picture(each) for each in value]
    if isinstance(value, (str, os.PathLike)):
        with contextlib.suppress(OSError):
            return NamedBytes(Path(value).read_bytes(), Path(value).name)
    return value


def _load_ray() -> Any:
    if "ray" not in sys.modules:
        before = os.environ.get(_USAGE)
        os.environ[_USAGE] = "0"
        try:
            import ray
        except ImportError:
            raise GanartError("jobs on a cluster need Ray; pip install 'ganart-zoo[ray]'") from None
        finally:
            _put_back(_USAGE, before)
        return ray
    return sys.modules["ray"]


_USAGE = "RAY_USAGE_STATS_ENABLED"


def _put_back(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _start(ray: Any, address: str | None) -> None:
    """Connect to a cluster, or start one, without reports to anybody and without a word on standard output."""
    before, main = os.environ.get(_USAGE), threading.current_thread() is threading.main_thread()
    breakpoints, on_term = os.environ.get("PYTHONBREAKPOINT"), signal.getsignal(signal.SIGTERM)
    os.environ[_USAGE] = "0"
    logger = logging.getLogger("ray")
    level = logger.level
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        raise GanartError(f"no Ray cluster at {address or 'its usual address'}: {first}") from None
    finally:
        logger.setLevel(level)
        _put_back(_USAGE, before)
        _put_back("PYTHONBREAKPOINT", breakpoints)
        if main:
            signal.signal(signal.SIGTERM, on_term)  # the host's
    with contextlib.suppress(AttributeError):
        ray._private.worker._worker_logs_enabled = False  # else the death of a worker is printed on standard output
