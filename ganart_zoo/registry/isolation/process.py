"""The process of an isolated distribution, seen from the program: it is started, asked, bounded and ended here."""

from __future__ import annotations

import collections
import contextlib
import json
import logging
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

import torch

import ganart_zoo
from ganart_zoo.contract import errors
from ganart_zoo.contract.errors import GanartError, PluginFaultError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.contract.fault import Fault
from ganart_zoo.ops import dispatch
from ganart_zoo.registry.isolation.choice import Isolation
from ganart_zoo.registry.isolation.messages import (
    Inbox,
    Outbox,
    RefusedError,
    make_folders,
    read_frame,
    remove_folders,
    write_frame,
)
from ganart_zoo.registry.processes import exit_reason, resident_of, show_bytes

if TYPE_CHECKING:
    from ganart_zoo.registry.zoo import Zoo

_log = logging.getLogger("ganart_zoo")

__all__ = ["MAGIC", "EndedError", "FailedError", "IsolatedProcess", "Recipe"]

MAGIC = b"\n<ganart-isolated 1>\n"
"""What stands before the first frame of a process: anything that is printed earlier is skipped."""

_START = (
    "import json, sys\n"
    "sys.path[:] = json.loads(sys.argv.pop()) or [path for path in sys.path if path]\n"
    "from ganart_zoo.registry.isolation.serve import main\n"
    "main()\n"
)
_GRACE = 10.0
"""Seconds that a call has to end after its listener raised; then the process is ended."""
_FIRST = 120.0
"""Seconds that a process has to start, at least: it imports torch."""
_TICK = 0.05
_OURS = ("GANART_ISOLATE", "GANART_ISOLATE_TIMEOUT", "GANART_ISOLATE_MEMORY")


class EndedError(Exception):
    """The process ended, or was ended because it left its bounds; the text says which."""


class FailedError(Exception):
    """What the plugin's code in the process raised, if it is none of ours; it carries the fault's text and trace."""

    def __init__(self, cause: str, trace: str) -> None:
        super().__init__(cause)
        self.cause, self.trace = cause, trace


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a model is made in the process, now and again after the process ended."""

    ident: int
    arguments: Mapping[str, Any]
    """For `Zoo.create`."""
    rng: bytes
    """The state of the generator of the first weights."""


class IsolatedProcess:
    """One process. It starts with the first call, and again with the first call after it ended.

    Threads take turns. While a call waits for its listener, the listener may call models of the same process.
    """

    def __init__(self, zoo: Zoo, distribution: str, isolation: Isolation) -> None:
        self.distribution, self.isolation = distribution, isolation
        self._zoo = weakref.ref(zoo)
        self._lock = threading.RLock()
        self._depth = 0
        self._running: _Running | None = None
        self._numbers = iter(range(sys.maxsize))
        self._dropped: collections.deque[int] = collections.deque()
        self._made: dict[int, Recipe] = {}
        self._states: dict[int, Mapping[str, torch.Tensor]] = {}

    @property
    def pid(self) -> int | None:
        """The process that runs now, if one does."""
        running = self._running
        return None if running is None else running.popen.pid

    def recipe(self, arguments: Mapping[str, Any], rng: torch.Generator) -> Recipe:
        """Return a recipe with a number of its own."""
        return Recipe(next(self._numbers), dict(arguments), rng.get_state().numpy().tobytes())

    def copied(self, recipe: Recipe) -> Recipe:
        """Return the recipe of a copy, which is made with its first call."""
        copy = replace(recipe, ident=next(self._numbers))
        if (state := self._states.get(recipe.ident)) is not None:
            self._states[copy.ident] = state
        return copy

    def make(self, recipe: Recipe) -> tuple[dict[str, Any], bytes]:
        """Make a model in the process; return what is known about it, and the generator's state afterwards.

        Raises:
            GanartError: What `Zoo.create` raised there.
            EndedError, FailedError: The process or the plugin failed.
        """
        with self._turn() as running:
            described, rng = self._make(running, recipe)
            return described, rng

    def drop(self, ident: int) -> None:
        """Forget a model. It only notes the number, since it may be called at any time by the garbage collector."""
        self._dropped.append(ident)

    def call(
        self, recipe: Recipe, method: str, arguments: Sequence[Any], keywords: Mapping[str, Any], on_step: OnStep | None
    ) -> Any:
        """Call a method of a model.

        Raises:
            GanartError: What the method raised there.
            EndedError, FailedError: The process or the plugin failed.
            BaseException: What `on_step` raised.
        """
        with self._turn() as running:
            if recipe.ident not in running.made:
                self._make(running, recipe)
                if (state := self._states.get(recipe.ident)) is not None:
                    self._ask(
                        running, ("call", recipe.ident, "load_own_state", (state,), {}, _surroundings(), None, False)
                    )
            drawn = None if keywords.get("rng") is not None else torch.get_rng_state().numpy().tobytes()
            message = ("call", recipe.ident, method, tuple(arguments), dict(keywords), _surroundings(), drawn)
            result = self._ask(running, (*message, on_step is not None), on_step)
            if method == "load_own_state":
                self._states[recipe.ident] = {name: value.clone() for name, value in arguments[0].items()}
            return result

    def end(self) -> None:
        """End the process at once."""
        running, self._running = self._running, None
        if running is not None:
            running.finalizer()

    def end_if_idle(self) -> None:
        """End the process, unless a call is under way."""
        if self._lock.acquire(blocking=False):
            try:
                if self._depth == 0:
                    self.end()
            finally:
                self._lock.release()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[_Running]:
        with self._lock:
            self._depth += 1
            try:
                running = self._started()
                yield running
                if self._depth == 1:
                    self._end_if_too_large(running)
            finally:
                self._depth -= 1

    def _make(self, running: _Running, recipe: Recipe) -> tuple[dict[str, Any], bytes]:
        described, rng = self._ask(running, ("make", recipe.ident, recipe.arguments, recipe.rng, _surroundings()))
        running.made.add(recipe.ident)
        return described, rng

    def _started(self) -> _Running:
        running = self._running
        if running is not None and running.popen.poll() is not None and self._depth == 1:
            self.end()
            running = None
        if running is None:
            if self._depth > 1:
                raise EndedError("its process ended while it was in another call")
            running = self._start()
        while self._dropped:
            ident = self._dropped.popleft()
            self._states.pop(ident, None)
            if ident in running.made:
                running.made.discard(ident)
                self._write(running, ("drop", ident))
        return running

    def _start(self) -> _Running:
        zoo = self._zoo()
        if zoo is None:
            raise EndedError("its zoo is gone")
        try:
            made = zoo.pickled_plain()
        except Exception as error:
            raise EndedError(f"the zoo cannot be made again in another process: {error}") from error
        own = self.isolation.python is None
        command = [
            str(sys.executable if own else self.isolation.python),
            "-c",
            _START,
            json.dumps(sys.path if own else []),
        ]
        environment = {name: value for name, value in os.environ.items() if name not in _OURS}
        folders = make_folders()
        try:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            remove_folders(folders)
            raise EndedError(f"cannot start {command[0]}: {error.strerror or error}") from None
        self._running = running = _Running(popen, folders)
        try:
            assert popen.stdin is not None
            with contextlib.suppress(OSError):  # it may be gone already; waiting says why
                write_frame(popen.stdin, pickle.dumps((made, folders, torch.get_num_threads()), protocol=5))
            kind, version = self._read(running, max(_FIRST, self.isolation.timeout))
        except EndedError as error:
            raise EndedError(f"{error}, while it started; {command[0]} needs ganart-zoo and the plugin") from None
        except BaseException:
            self.end()
            raise
        if kind != "ready" or version.split(".")[:2] != ganart_zoo.__version__.split(".")[:2]:
            self.end()
            raise EndedError(f"{command[0]} has ganart-zoo {version}, and this is {ganart_zoo.__version__}")
        return running

    def _ask(self, running: _Running, message: tuple[Any, ...], on_step: OnStep | None = None) -> Any:
        """Send a request, and return its result; its generators are then where the process has left them."""
        generators: list[torch.Generator] = []
        try:
            packed = running.outbox.pack(message, generators=generators)
        except (GanartError, KeyboardInterrupt):
            raise
        except Exception as error:
            raise errors.SettingsError(
                f"an argument cannot enter the process of {self.distribution}: {error}"
            ) from error
        raised: BaseException | None = None
        until = float("inf")
        try:
            self._send(running, packed)
            while True:
                wait = self.isolation.timeout
                kind, *more = self._read(running, min(wait, until - time.monotonic()))
                if kind != "step":
                    break
                if raised is None:
                    raised = self._listen(running, on_step, more)
                    until = until if raised is None else time.monotonic() + _GRACE
                else:
                    self._write(running, ("raise",))
        except BaseException as error:
            if self._running is running:
                self.end()
            if raised is not None and isinstance(error, EndedError):
                raise raised from error
            raise
        if raised is not None:
            raise raised
        if kind != "done":
            raise _failure(kind, more)
        result, states, moved = more
        for one, state in zip(generators, states, strict=True):
            one.set_state(_as_state(state))
        if moved is not None:
            torch.set_rng_state(_as_state(moved))
        return result

    def _listen(self, running: _Running, on_step: OnStep | None, step: Sequence[Any]) -> BaseException | None:
        """Tell the listener of a step, and the process what it answered; return what it raised."""

        def preview() -> torch.Tensor:
            self._write(running, ("preview",))
            kind, *more = self._read(running, self.isolation.timeout)
            if kind != "shown":
                raise _failure(kind, more)
            shown: torch.Tensor = more[0]
            return shown

        number, total, phase, losses = step
        try:
            answer = None if on_step is None else on_step(StepEvent(number, total, phase, losses, preview))
        except BaseException as error:
            if self._running is not running:  # the process ended while the listener used it
                raise
            self._write(running, ("raise",))
            return error
        self._write(running, ("go", answer is False))
        return None

    def _write(self, running: _Running, message: tuple[Any, ...]) -> None:
        self._send(running, running.outbox.pack(message))

    def _send(self, running: _Running, packed: bytes) -> None:
        try:
            write_frame(running.stdin, packed)
        except (OSError, ValueError):
            raise self._gone(running) from None

    def _read(self, running: _Running, seconds: float) -> Any:
        """Return the next message of the process.

        Raises:
            EndedError: It ended, left its bounds or answered with what it may not; it has ended then.
        """
        since = time.monotonic()
        while True:
            try:
                frame = running.frames.get(timeout=_TICK)
            except queue.Empty:
                if time.monotonic() - since > seconds:
                    self.end()
                    raise EndedError(
                        f"its process was silent for {max(seconds, 0):.3g} seconds, and was ended"
                    ) from None
                if too_large := self._too_large(running):
                    self.end()
                    raise EndedError(too_large) from None
                continue
            if frame is None:
                raise self._gone(running)
            try:
                return running.inbox.open(frame)[0]
            except RefusedError as error:
                self.end()
                raise EndedError(f"its process answered with {error}, and was ended") from None

    def _gone(self, running: _Running) -> EndedError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.popen.wait(5)
        code = running.popen.returncode
        self.end()
        return EndedError(f"its process ended with {exit_reason(code)}")

    def _too_large(self, running: _Running) -> str:
        limit = self.isolation.memory
        if limit is None or (held := resident_of(running.popen.pid)) is None or held <= limit:
            return ""
        return f"its process held {show_bytes(held)}, more than its {show_bytes(limit)}, and was ended"

    def _end_if_too_large(self, running: _Running) -> None:
        """After a call, whose result stands: end a process that has grown too large."""
        if self._running is running and (cause := self._too_large(running)):
            self.end()
            fault = self.fault(cause)
            _log.warning("%s", fault)
            self.report(fault)

    def fault(self, cause: str, model: str | None = None, trace: str | None = None) -> Fault:
        """Return a fault of the plugin: of its process, or with a trace of the code that ran in it."""
        zoo = self._zoo()
        plugins = () if zoo is None else zoo.plugins
        name = next((plugin.name for plugin in plugins if plugin.distribution == self.distribution), self.distribution)
        stage = "isolation" if trace is None else "call"
        return Fault(name, self.distribution, stage, " ".join(cause.split()), model, trace or "")

    def report(self, fault: Fault) -> None:
        """Add a fault to the zoo's.

        Raises:
            PluginFaultError: The zoo is strict.
        """
        if (zoo := self._zoo()) is not None:
            zoo.report(fault, PluginFaultError(fault))


class _Running:
    """A process that was started, and its two directions."""

    def __init__(self, popen: subprocess.Popen[bytes], folders: Sequence[str]) -> None:
        assert popen.stdin is not None
        assert popen.stdout is not None
        self.popen, self.stdin = popen, popen.stdin
        self.outbox, self.inbox = Outbox(folders), Inbox(guarded=True)
        self.frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.made: set[int] = set()
        self.finalizer = weakref.finalize(self, _finish, popen, folders, os.getpid())
        arguments = (popen.stdout, self.frames)
        threading.Thread(target=_receive, args=arguments, name="ganart-isolated", daemon=True).start()


def _receive(stream: IO[bytes], frames: queue.SimpleQueue[bytes | None]) -> None:
    """Put the frames of a process into a queue, and None when it is gone: pipes cannot be polled everywhere."""
    try:
        start = b""
        while not start.endswith(MAGIC):
            byte = stream.read(1)
            if not byte:
                raise EOFError
            start = (start + byte)[-len(MAGIC) :]
        while True:
            frames.put(read_frame(stream))
    except (EOFError, OSError, ValueError):
        frames.put(None)


def _finish(popen: subprocess.Popen[bytes], folders: Sequence[str], owner: int) -> None:
    if os.getpid() != owner:  # a fork of the program
        return
    popen.kill()
    popen.wait()
    for stream in (popen.stdin, popen.stdout):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.close()
    remove_folders(folders)


def _surroundings() -> tuple[Any, ...]:
    """Return what of the program decides how a model computes."""
    cudnn = torch.backends.cudnn
    return (
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        dispatch.mode(),
        torch.are_deterministic_algorithms_enabled(),
        (cudnn.benchmark, cudnn.deterministic),
    )


def _as_state(state: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(state), dtype=torch.uint8)


def _failure(kind: str, content: Sequence[Any]) -> BaseException:
    """Return the error to raise for the answer of a process that failed."""
    if kind == "fault":
        return PluginFaultError(content[0])
    if kind == "memory":
        return MemoryError(content[0])
    if kind == "ours":
        name, text = content
        known = getattr(errors, str(name), GanartError)
        return known(text) if isinstance(known, type) and issubclass(known, GanartError) else GanartError(text)
    if kind == "failed":
        return FailedError(*map(str, content))
    return EndedError(f"its process answered {kind!r:.40}, which was not expected")
