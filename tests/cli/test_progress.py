"""Progress: what a terminal and a log are told of long work."""

from __future__ import annotations

import io

import pytest

from ganart_zoo.cli import progress as module
from ganart_zoo.cli.progress import progress
from ganart_zoo.contract import StepEvent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def event(step: int, total: int | None = 100) -> StepEvent:
    return StepEvent(step, total, "320 pictures/s", {"critic": 0.5, "generator": 1.25}, lambda: None)


def test_a_terminal_shows_pace_losses_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "160")
    with progress(quiet=False) as shown:
        clock = [0.0]
        shown._bar.get_time = lambda: clock[0]
        shown.begin("training runs/first")
        for step in range(41, 81):  # a resumed run: 40 steps were done before, and took none of this time
            clock[0] += 0.5
            shown.step(event(step))
        (task,) = shown._bar.tasks
        assert (task.completed, task.total) == (80, 100)
        assert task.fields["count"] == "80/100"
        assert task.fields["left"] == "0:00:10 left"  # 20 steps at half a second each
        assert task.fields["terms"] == "320 pictures/s  critic 0.5  generator 1.25"
        shown.begin("another")
        assert task.fields["left"] == ""
    assert "training runs/first" in terminal.getvalue()


def test_a_log_has_the_first_step_some_and_the_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    with progress(quiet=False) as shown:
        shown.begin("training")
        for step in range(1, 101):
            clock[0] += 0.25
            shown.step(event(step))
    terms = "320 pictures/s  critic 0.5  generator 1.25"
    assert capsys.readouterr().err.splitlines() == [
        "ganart: training",
        *(f"ganart: training  step {step}/100  {terms}" for step in (1, 41, 81, 100)),
    ]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=True) as shown:
        shown.begin("training")
        shown.step(event(100))
    assert capsys.readouterr().err == ""
