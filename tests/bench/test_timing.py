"""Interleaved timing, under a clock that the candidates move themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ganart_zoo.bench import Rivals, timing


class Clock:
    """A clock that stands still but for `spend`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def candidate(self, name: str, *costs: float) -> Callable[[], None]:
        """Return a call that takes each of `costs` seconds in turn, and then the last one for ever."""
        remaining = iter(costs)
        last = costs[-1]

        def call() -> None:
            self.calls.append(name)
            self.now += next(remaining, last)

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    return clock


def test_the_best_of_rounds_counts_and_candidates_take_turns(clock: Clock) -> None:
    # first and second call: warm-up, and the choice of repeats
    rivals = Rivals({"a": clock.candidate("a", 9, 3, 5, 2, 4), "b": clock.candidate("b", 9, 8, 7, 6)})
    clock.calls.clear()
    assert rivals.take_turns(0, least_rounds=3) == {"a": 2, "b": 6}
    assert clock.calls == ["a", "b"] * 3


def test_rounds_go_on_until_the_time_is_over(clock: Clock) -> None:
    rivals = Rivals({"a": clock.candidate("a", 1), "b": clock.candidate("b", 1)})
    clock.calls.clear()
    rivals.take_turns(20, least_rounds=3)
    assert clock.calls == ["a", "b"] * 10


def test_short_calls_are_repeated_and_timed_by_the_call(clock: Clock) -> None:
    rivals = Rivals({"short": clock.candidate("short", 6e-5), "other": clock.candidate("other", 1e-5)})
    assert rivals.repeats == 4  # to 0.2 ms
    assert rivals.take_turns(0) == pytest.approx({"short": 6e-5, "other": 1e-5})


def test_a_device_is_waited_for(clock: Clock) -> None:
    def synchronize() -> None:
        clock.now += 2  # what the calls left behind

    rivals = Rivals({"a": clock.candidate("a", 1)}, synchronize)
    assert rivals.take_turns(0) == {"a": 3}


def test_a_harness_may_time_the_subject_itself(clock: Clock) -> None:
    rivals = Rivals({name: clock.candidate(name, 1) for name in "abc"})
    clock.calls.clear()
    rivals.challenge()
    rivals.run_subject()
    assert clock.calls == ["b", "c", "a"]
