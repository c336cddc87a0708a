"""The processes of one zoo, one for each isolated distribution. Torch-free until one starts."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ganart_zoo.registry.isolation.choice import Isolation

if TYPE_CHECKING:
    from ganart_zoo.registry.isolation.process import IsolatedProcess
    from ganart_zoo.registry.zoo import Zoo

__all__ = ["Isolates"]


class Isolates:
    """Makes the processes of a zoo when they are needed, and ends them.

    Args:
        chosen: By normalised distribution.
    """

    def __init__(self, chosen: Mapping[str, Isolation]) -> None:
        self.chosen = dict(chosen)
        self._lock = threading.Lock()
        self._processes: dict[str, IsolatedProcess] = {}

    def process(self, zoo: Zoo, distribution: str) -> IsolatedProcess:
        """Return the process of a distribution; it starts with its first call."""
        from ganart_zoo.registry.isolation.process import IsolatedProcess

        with self._lock:
            if distribution not in self._processes:
                self._processes[distribution] = IsolatedProcess(zoo, distribution, self.chosen[distribution])
            return self._processes[distribution]

    def pids(self) -> dict[str, int]:
        """Return the ids of the processes that run now, by distribution."""
        with self._lock:
            running = {name: process.pid for name, process in self._processes.items()}
        return {name: pid for name, pid in running.items() if pid is not None}

    def end(self, distribution: str | None = None) -> None:
        """End the process of a distribution, or all; one that is in a call stays. The next call starts a new one."""
        with self._lock:
            chosen = [one for name, one in self._processes.items() if distribution in (None, name)]
        for process in chosen:
            process.end_if_idle()
