"""Records what a piece of a plugin's code does to the process and the machine, by an audit hook. Torch-free."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["watch"]

_NETWORK = ("socket.", "urllib.Request", "http.client.", "ftplib.", "smtplib.", "imaplib.", "poplib.")
_HARMLESS = ("socket.gethostname",)
_PROCESS = (
    "subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.spawn", "os.system", "os.startfile",
    "_thread.start_new_thread",
)  # fmt: skip
_WRITES = (
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.utime",
    "shutil.", "tempfile.", "sqlite3.connect",
)  # fmt: skip
_NULL = ("/dev/null", "nul", "/dev/tty")
_MOST = 5
"""Descriptions kept of each sort."""


class _Watch:
    """What the audit hook sees while it is switched on."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] | None = None

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.seen is None:
            return
        if event.startswith(_NETWORK):
            if event not in _HARMLESS:
                self._note("network", _said(event, arguments))
        elif event.startswith(_PROCESS):
            self._note("process", _said(event, arguments))
        elif event == "open":
            path, mode, flags = (*arguments, None, None, None)[:3]
            writes = any(letter in str(mode or "") for letter in "wax+")
            writes = writes or bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            if writes and not isinstance(path, int) and str(path) not in _NULL:
                self._note("writes", f"opened {str(path)!r} for writing")
        elif event.startswith(_WRITES):
            self._note("writes", _said(event, arguments))

    def _note(self, what: str, said: str) -> None:
        if self.seen is not None:
            known = self.seen.setdefault(what, [])
            if said not in known and len(known) < _MOST:
                known.append(said)


_installed: list[_Watch] = []
"""The one watch of this process: an audit hook cannot be removed again."""


@contextlib.contextmanager
def watch(more_state: Callable[[], Mapping[str, Any]] = dict) -> Iterator[dict[str, list[str]]]:
    """Record what a block does to the world outside. One block at a time.

    Args:
        more_state: Returns more of what must not change, by name, before and after the block.

    Yields:
        What was seen, complete after the block: descriptions by `"network"`, `"process"` and `"writes"`; the start of
        what was printed by `"prints"`; and the names of what changed by `"state"`. What was not seen is missing.
    """
    if not _installed:
        _installed.append(_Watch())
        sys.addaudithook(_installed[0].hook)
    watching = _installed[0]
    seen: dict[str, list[str]] = {}
    state, threads = {**_state(), **more_state()}, threading.active_count()
    with _streams() as printed:
        watching.seen = seen
        try:
            yield seen
        finally:
            watching.seen = None
            started = threading.active_count() - threads
            if started > 0 and "process" not in seen:
                seen["process"] = [
                    "a thread was left running" if started == 1 else f"{started} threads were left running"
                ]
    if printed:
        seen["prints"] = printed
    now = {**_state(), **more_state()}
    if changed := [name for name, value in now.items() if name in state and state[name] != value]:
        seen["state"] = changed


def _said(event: str, arguments: tuple[Any, ...]) -> str:
    shown = ", ".join(repr(each)[:60] for each in arguments if not hasattr(each, "fileno"))
    return f"{event}({shown})"


def _state() -> dict[str, Any]:
    return {
        "the environment": dict(os.environ),
        "the working directory": str(Path.cwd()),
        "sys.path": list(sys.path),
        "Python's random state": random.getstate(),
        "warning filters": [str(each) for each in warnings.filters],
        "signal handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "sys.excepthook": sys.excepthook,
        "the recursion limit": sys.getrecursionlimit(),
    }


@contextlib.contextmanager
def _streams() -> Iterator[list[str]]:
    """Catch what is written on the standard streams, also by C code and by child processes."""
    printed: list[str] = []
    with tempfile.TemporaryFile() as caught:
        _flush()
        kept = [os.dup(number) for number in (1, 2)]
        # Python's streams may write elsewhere than to the process' own, under pytest for example.
        with open(os.dup(caught.fileno()), "w", encoding="utf-8", errors="replace") as text:  # noqa: PTH123
            for number in (1, 2):
                os.dup2(caught.fileno(), number)
            try:
                with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
                    yield printed
            finally:
                text.flush()
                _flush()
                for number, copy in zip((1, 2), kept, strict=True):
                    os.dup2(copy, number)
                    os.close(copy)
        caught.seek(0)
        if said := caught.read(400).decode("utf-8", "replace").strip():
            printed.append(repr(said[:80]))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
