"""Reading a zoo from many threads gives what one thread gets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from torch import Tensor, nn

from ganart_zoo import Use, Zoo
from ganart_zoo.contract import Generator, PluginFaultError, RunEvent

from .making import plugin, spec

THREADS = 8


class Layered(Generator):
    latent_shape = (1,)

    def __init__(self, config: object, below: Generator | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.below = below

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None) -> Tensor:  # type: ignore[no-untyped-def]
        return latents


def failing(config: object) -> None:
    raise RuntimeError("always the same")


def at_once(work):  # type: ignore[no-untyped-def]
    """Run `work` in all threads, starting together, and return what each gave."""
    barrier = Barrier(THREADS)

    def start(_: int) -> object:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(start, range(THREADS)))


@pytest.fixture
def zoo() -> Zoo:
    heard: list[RunEvent] = []
    return Zoo(
        plugins=[
            plugin(
                "toys",
                spec("base", factory=f"{__name__}:Layered"),
                spec("top", factory=f"{__name__}:Layered", uses={"below": Use("generator", default="toys/base")}),
                spec("broken", factory=f"{__name__}:failing"),
                ganart_run_event=lambda event: heard.append(event) or 1 / 0,
            )
        ]
    )


def test_listing_and_creating(zoo: Zoo) -> None:
    made = at_once(lambda: (zoo.list(), zoo.spec("top"), zoo.create("top")))
    assert {names for names, _, _ in made} == {zoo.list()}
    models = [model for _, _, model in made]
    assert len({id(model) for model in models}) == len({id(model.below) for model in models}) == THREADS
    assert zoo.faults == ()


def test_one_fault_is_kept_once(zoo: Zoo) -> None:
    def create() -> str:
        with pytest.raises(PluginFaultError) as caught:
            zoo.create("broken")
        return caught.value.fault.cause

    assert set(at_once(create)) == {"RuntimeError: always the same"}
    assert len({fault.cause for fault in zoo.faults}) == 1


def test_events_of_several_threads_drop_a_listener_once(zoo: Zoo) -> None:
    at_once(lambda: zoo.emit(RunEvent("stylize", "started", "toys/top")))
    assert len(zoo.faults) == 1
