"""Times candidates in alternation in one process, so that a momentary slowdown of the machine affects all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

__all__ = ["Rivals", "best_seconds"]

_SHORTEST = 2e-4
"""Seconds of one timing. Calls are repeated until they take that long, far above the resolution of the clock."""
_MOST_ROUNDS = 1000


def _nothing() -> None:
    """Do nothing: a CPU candidate needs no synchronisation."""


class Rivals:
    """Candidates that take turns.

    Args:
        candidates: Calls by name; the first is the subject, whose speed decides the number of repeats.
        synchronize: Waits until the device has finished the work that a call queued.
    """

    def __init__(
        self, candidates: Mapping[str, Callable[[], object]], synchronize: Callable[[], object] = _nothing
    ) -> None:
        self._candidates = dict(candidates)
        self._synchronize = synchronize
        self.best = dict.fromkeys(self._candidates, math.inf)
        """Seconds of the fastest call so far, by candidate."""
        self.taken: dict[str, list[float]] = {name: [] for name in self._candidates}
        """Seconds of each timing, by candidate, but for the one that finds out how often to repeat."""
        for call in self._candidates.values():  # compiles, allocates, fills caches
            call()
        synchronize()
        self._subject = next(iter(self._candidates))
        self.repeats = 1
        """Calls per timing."""
        self.repeats = max(1, math.ceil(_SHORTEST / self._time(self._subject)))
        self.taken[self._subject].clear()

    def take_turns(self, seconds: float, least_rounds: int = 5) -> Mapping[str, float]:
        """Time every candidate once per round until `seconds` have passed; return `best`."""
        end = time.perf_counter() + seconds
        rounds = 0
        while rounds < least_rounds or (time.perf_counter() < end and rounds < _MOST_ROUNDS):
            for name in self._candidates:
                self._time(name)
            rounds += 1
        return self.best

    def challenge(self) -> None:
        """Time every candidate except the subject once, for a harness that times `run_subject` itself."""
        for name in self._candidates:
            if name != self._subject:
                self._time(name)

    def run_subject(self) -> None:
        """Time the subject once, and keep its best time too."""
        self._time(self._subject)

    def _time(self, name: str) -> float:
        call = self._candidates[name]
        start = time.perf_counter()
        for _ in range(self.repeats):
            call()
        self._synchronize()
        took = (time.perf_counter() - start) / self.repeats
        self.best[name] = min(self.best[name], took)
        self.taken[name].append(took)
        return took


def best_seconds(
    candidates: Mapping[str, Callable[[], object]], *, seconds: float, synchronize: Callable[[], object] = _nothing
) -> Mapping[str, float]:
    """Return each candidate's fastest time, in seconds per call, of interleaved rounds that last about `seconds`."""
    return Rivals(candidates, synchronize).take_turns(seconds)
