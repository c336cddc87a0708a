"""Ctrl-C in a program that calls a task: the best result so far is kept, and the program still hears of it."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import ganart_tiny
import pytest
import torch

from ganart_zoo import Zoo
from ganart_zoo.contract import SettingsError, StepEvent
from ganart_zoo.imaging import read_record
from ganart_zoo.running.interrupts import Interrupted, interruptible, was_interrupted
from ganart_zoo.tasks.stylize import stylize

CONTENT = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0))
STYLE = torch.full((1, 3, 16, 16), 0.5)


@pytest.fixture(autouse=True)
def _pythons_own_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def blend(output: Path | None = None, **settings):
    zoo = Zoo(plugins=[ganart_tiny])
    return stylize(zoo, CONTENT, [STYLE], output, model="blend", settings={"noise": False, **settings})


def test_the_best_picture_so_far_is_saved_and_carried(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as stopped:
        blend(tmp_path / "out.png", steps=8, interrupt_at=(3,))
    made = stopped.value.result
    assert made.stopped
    assert read_record(tmp_path / "out.png").request["stopped_at"] == 3
    torch.testing.assert_close(made.images, CONTENT.lerp(STYLE.mean((2, 3), keepdim=True), 0.5 * 3 / 8))


def test_the_second_one_ends_the_work_at_once(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as stopped:
        blend(tmp_path / "out.png", steps=8, interrupt_at=(3,), interrupt_twice=True)
    assert not isinstance(stopped.value, Interrupted)
    assert not list(tmp_path.iterdir())


def test_one_at_the_last_step_is_not_lost() -> None:
    with pytest.raises(Interrupted) as stopped:
        blend(steps=2, interrupt_at=(2,))
    assert not stopped.value.result.stopped


def test_a_program_with_its_own_handler_keeps_it() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        assert not blend(steps=4, interrupt_at=(2,)).stopped
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert heard == [signal.SIGINT]


def test_other_threads_are_left_alone() -> None:
    made: list[object] = []
    worker = threading.Thread(target=lambda: made.append(blend(steps=2).stopped))
    worker.start()
    worker.join()
    assert made == [False]


def test_the_users_own_callback_may_press_it_and_an_error_does_not_hide_it() -> None:
    seen: list[int] = []

    def press(event: StepEvent) -> None:
        seen.append(event.step)
        if event.step == 2:
            signal.raise_signal(signal.SIGINT)

    zoo = Zoo(plugins=[ganart_tiny])
    with pytest.raises(Interrupted):
        stylize(zoo, CONTENT, [STYLE], model="blend", settings={"steps": 6}, on_step=press)
    assert seen == [1, 2]

    @interruptible
    def fails() -> None:
        signal.raise_signal(signal.SIGINT)
        assert was_interrupted()
        raise SettingsError("wrong")

    with pytest.raises(Interrupted) as stopped:
        fails()
    assert stopped.value.result is None
    assert isinstance(stopped.value.__cause__, SettingsError)
    assert not was_interrupted()
