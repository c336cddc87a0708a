"""Several processes that share one task: which they are, and the little that they tell each other.

A launcher such as `torchrun` starts them, and says in the environment which process each is. A rule splits the work, so
that no data is exchanged: only that something is ready or done, and reports as text.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent

__all__ = ["Processes", "launched"]

T = TypeVar("T")

_BETWEEN_LOOKS = 0.2
"""Seconds."""
_MEETING = timedelta(minutes=5)
"""How long to wait for the place where processes meet, which the launcher or the first of them keeps."""


class Store(Protocol):
    """What is used of a store of `torch.distributed`."""

    def set(self, key: str, value: str) -> None:
        """Keep a text."""

    def get(self, key: str) -> bytes:
        """Return a text in UTF-8."""

    def check(self, keys: list[str]) -> bool:
        """Say whether there are texts with all these names."""


class Processes:
    """The processes that a launcher started, as one of them sees it. Without a launcher: this one alone.

    Args:
        rank: The number of this process, from 0.
        count: How many there are.
        store: Where they leave word for each other, as a store of `torch.distributed`; None for one process.
    """

    def __init__(self, rank: int = 0, count: int = 1, store: Store | None = None) -> None:
        self.rank = rank
        self.count = count
        self._store = store

    @property
    def is_first(self) -> bool:
        """Whether this is the process that joins the parts and reports."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """Return what this process does of a list: every `count`-th item."""
        return list(items[self.rank :: self.count])

    def tell(self, what: str, text: str = "yes") -> None:
        """Leave a word that every process can read."""
        if self._store is not None:
            self._store.set(what, text)

    def told(self, what: str) -> str | None:
        """Return a word that was left; None where it was not yet."""
        if self._store is None or not self._store.check([what]):
            return None
        return self._store.get(what).decode()

    def wait_for(self, what: str, on_step: OnStep | None = None) -> str | None:
        """Wait for a word, and return it; None where `on_step`, which is called all the time, returned False."""
        while (text := self.told(what)) is None:
            event = StepEvent.of(1, None, "waiting for the other processes")
            if on_step is not None and on_step(event) is False:
                return None
            time.sleep(_BETWEEN_LOOKS)
        return text


def launched() -> Processes:
    """Return the processes of the launcher that started this one, by the variables of `torchrun`.

    Raises:
        SettingsError: The environment says that there are several, and not which one this is or where they meet.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return Processes()
    names = ("RANK", "WORLD_SIZE", "MASTER_PORT")
    try:
        rank, count, port = (int(os.environ[name]) for name in names)
        address = os.environ["MASTER_ADDR"]
    except (KeyError, ValueError) as error:
        raise SettingsError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']!r} in the environment, and {error} is missing or no number; "
            "start the processes with torchrun, or unset WORLD_SIZE"
        ) from None
    return Processes(rank, count, _store(address, port, rank, count))


def _store(address: str, port: int, rank: int, count: int) -> Store:
    from torch import distributed

    library: Any = distributed  # which does not name its stores to type checkers
    kept_by_launcher = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        store = library.TCPStore(
            address,
            port,
            world_size=count,
            is_master=rank == 0 and not kept_by_launcher,
            timeout=_MEETING,
            wait_for_workers=False,
            multi_tenant=True,
        )
    except RuntimeError as error:  # of which DistError is one
        raise SettingsError(f"the processes cannot meet at {address}:{port} ({str(error).splitlines()[0]})") from None
    prefixed: Store = library.PrefixStore(f"ganart/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    return prefixed
