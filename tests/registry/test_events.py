"""Events of tasks reach every plugin that listens; one that raises is logged once and dropped."""

from __future__ import annotations

import logging

import pytest

from ganart_zoo import Zoo
from ganart_zoo.contract import PluginFaultError, RunEvent

from .making import plugin

STARTED = RunEvent("train", "started", "ganart-dcgan/dcgan")
SAVED = RunEvent("train", "saved", "ganart-dcgan/dcgan", details={"step": 3})


def test_listeners_hear_events_in_order() -> None:
    heard: list[tuple[str, RunEvent]] = []
    plugins = [
        plugin(name, ganart_run_event=lambda event, name=name: heard.append((name, event))) for name in ("a", "b")
    ]
    zoo = Zoo(plugins=[*plugins, plugin("silent")])
    for event in (STARTED, SAVED):
        zoo.emit(event)
    assert heard == [("a", STARTED), ("b", STARTED), ("a", SAVED), ("b", SAVED)]


@pytest.mark.parametrize("error", [RuntimeError("no network"), SystemExit("done")], ids=["error", "exit"])
def test_a_listener_that_raises_is_dropped(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[RunEvent] = []
    heard: list[RunEvent] = []

    def broken(event: RunEvent) -> None:
        calls.append(event)
        raise error

    zoo = Zoo(
        plugins=[
            plugin("bad", ganart_run_event=broken),
            plugin("good", ganart_run_event=lambda event: heard.append(event)),
        ]
    )
    with caplog.at_level(logging.WARNING, logger="ganart_zoo"):
        for event in (STARTED, SAVED, SAVED):
            zoo.emit(event)
    assert calls == [STARTED]
    assert heard == [STARTED, SAVED, SAVED]
    (record,) = caplog.records
    assert str(error) in record.getMessage()
    (fault,) = zoo.faults
    assert (fault.plugin, fault.stage) == ("bad", "ganart_run_event")


def test_a_dropped_listener_keeps_its_models_and_other_zoos_still_try_it() -> None:
    calls: list[RunEvent] = []

    def broken(event: RunEvent) -> None:
        calls.append(event)
        raise RuntimeError

    module = plugin("bad", ganart_run_event=broken)
    for zoo in (Zoo(plugins=[module]), Zoo(plugins=[module])):
        zoo.emit(STARTED)
        assert [found.name for found in zoo.plugins] == ["bad"]
    assert calls == [STARTED, STARTED]


def test_strict_raises() -> None:
    def broken(event: RunEvent) -> None:
        raise RuntimeError("no network")

    with pytest.raises(PluginFaultError, match="no network"):
        Zoo(plugins=[plugin("bad", ganart_run_event=broken)], strict=True).emit(STARTED)
