"""Steps of style transfer on an idle machine and beside one process that computes, for ways in which threads wait.

Each way is a process of its own, because OpenMP reads its settings once; they take turns, and sleep while another's
turn is timed. The best of the other rows is what `native.tune_threads` should come close to, busy and idle alike.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from ganart_zoo import native

if TYPE_CHECKING:
    from .conftest import Race

WORKER = Path(__file__).with_name("busy_worker.py")
SPINS = (400, 1000, 10_000)
"""Other bounds than the default of `tune_threads`."""


@contextmanager
def working(*arguments: int, **environment: str) -> Iterator[Callable[[], None]]:
    """Start a worker; yield what lets it take its steps and waits for them."""
    kept = {name: value for name, value in os.environ.items() if name not in native.WAITING_SETTINGS}
    with subprocess.Popen(
        [sys.executable, WORKER, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**kept, **environment},
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        stdin, stdout = worker.stdin, worker.stdout

        def step() -> None:
            stdin.write(b"\n")
            stdin.flush()
            stdout.readline()

        try:
            yield step
        finally:
            stdin.close()


@contextmanager
def loaded() -> Iterator[None]:
    """Keep one core busy."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as load:
        try:
            yield
        finally:
            load.kill()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU OpenMP only")
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_busy_machine(race: Race, busy: bool) -> None:
    threads = torch.get_num_threads()
    with ExitStack() as stack:
        candidates = {
            "ganart": stack.enter_context(working(-1, threads)),
            "eager": stack.enter_context(working(0, threads)),
            "passive": stack.enter_context(working(0, threads, OMP_WAIT_POLICY="passive")),
            "one thread": stack.enter_context(working(0, 1)),
            **{f"{spins} spins": stack.enter_context(working(spins, threads)) for spins in SPINS},
        }
        if busy:
            stack.enter_context(loaded())
        race(
            candidates,
            dtype="float32",
            op="threads",
            group="beside a process that computes" if busy else "alone",
            shape=f"{threads} threads",
            direction="forward+backward",
        )
