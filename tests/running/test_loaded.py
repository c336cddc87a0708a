"""A model loaded for a task: which network is taken, whose an exception is, and what listeners are told."""

from __future__ import annotations

from pathlib import Path

import ganart_tiny
import pytest
from ganart_shapes.runs import save_run

from ganart_zoo import Zoo
from ganart_zoo.contract import ModelError, PluginFaultError, SettingsError, StepEvent
from ganart_zoo.running.critics import LoadedCritic
from ganart_zoo.running.generators import LoadedGenerator


def test_a_run_gives_the_network_of_the_kind(shapes: Zoo, tmp_path: Path) -> None:
    run = save_run(
        tmp_path / "run",
        generator=shapes.create("flat", weights=None),
        critic=shapes.create("reddest", weights=None),
    )
    assert LoadedGenerator.load(shapes, run).entry.canonical == "ganart-shapes/flat"
    assert LoadedCritic.load(shapes, run).entry.canonical == "ganart-shapes/reddest"
    with pytest.raises(SettingsError, match=r"flat is a generator, expected a critic; see ganart list --kind critic"):
        LoadedCritic.load(shapes, "flat", weights=None)


def test_options_and_config_are_told_apart(shapes: Zoo) -> None:
    loaded = LoadedGenerator.load(shapes, "bands", weights=None, settings={"truncation": 0.5, "resolution": 16})
    assert (loaded.options.truncation, loaded.model.config.resolution) == (0.5, 16)


def test_work_tells_listeners_how_it_went(shapes: Zoo) -> None:
    loaded = LoadedGenerator.load(shapes, "flat", weights=None)
    with loaded.work("paint", {"n": 2}, path=Path("a.png"), on_step=lambda event: False) as work:
        work.steps(StepEvent.of(1, 2))
        work.results["score"] = 3.0
        work.saved()
    assert work.stopped
    stages = [(event.stage, event.path, event.details["n"]) for event in ganart_tiny.EVENTS]
    assert stages == [(stage, Path("a.png"), 2) for stage in ("started", "saved", "stopped")]
    assert ganart_tiny.EVENTS[-1].details["score"] == 3.0
    assert ganart_tiny.EVENTS[-1].details["seconds"] == work.seconds > 0
    with pytest.raises(KeyError), loaded.work("paint", {}):
        raise KeyError("seed")
    assert (ganart_tiny.EVENTS[-1].stage, ganart_tiny.EVENTS[-1].details["error"]) == ("failed", "KeyError: 'seed'")


def test_an_exception_belongs_to_the_plugin_the_user_or_the_machine(shapes: Zoo) -> None:
    loaded = LoadedGenerator.load(shapes, "flat", weights=None, settings={"resolution": 32})
    lenient = LoadedGenerator(Zoo(plugins=[p.hooks for p in shapes.plugins]), loaded.entry, loaded.model, None)
    with pytest.raises(PluginFaultError, match="no such thing"), lenient.calls("paint"):
        raise RuntimeError("no such thing")
    with pytest.raises(ModelError, match="ran out of memory at 32×32"), lenient.calls("paint"):
        raise MemoryError

    def mine(event: StepEvent) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), lenient.work("paint", {}, on_step=mine) as work, work.calls():
        work.steps(StepEvent.of(1, 2))


def test_an_event_shows_its_picture_clamped_and_detached() -> None:
    import torch

    picture = torch.tensor([-1.0, 0.5, 2.0]).view(1, 3, 1, 1).requires_grad_()
    event = StepEvent.of(1, None, "search", {"loss": 2.0}, picture=picture)
    assert event.preview().flatten().tolist() == [0.0, 0.5, 1.0]
    assert not event.preview().requires_grad
    assert StepEvent.of(1, 2).preview().shape == (0, 3, 0, 0)
