"""Checks of models that work in steps: the events they report, and how they stop."""

from __future__ import annotations

import torch
from torch import Tensor

from ganart_zoo.contract import StepEvent
from ganart_zoo.testing.subject import Check, Subject

__all__ = ["CHECKS"]


def reports_each_step(subject: Subject) -> None:
    """Events count from 1, keep one total, and preview pictures; listening changes nothing."""
    model = subject.create()
    events: list[StepEvent] = []
    previews: list[Tensor] = []

    def listen(event: StepEvent) -> None:
        events.append(event)
        previews.append(event.preview())

    (pictures,) = subject.call(model, on_step=listen)
    assert events, "on_step was never called"
    assert [event.step for event in events] == list(range(1, len(events) + 1)), f"steps are {[e.step for e in events]}"
    totals = {event.total for event in events}
    assert len(totals) == 1, f"the total changed during the call: {totals}"
    (total,) = totals
    assert total is None or len(events) <= total, f"{len(events)} steps of {total}"
    for event, preview in zip(events, previews, strict=True):
        assert event.phase, "phase is empty"
        assert all(isinstance(loss, float) for loss in event.losses.values()), f"losses are {dict(event.losses)}"
        assert preview.shape[:2] == pictures.shape[:2], f"preview is {list(preview.shape)}"
        assert preview.dtype == model.picture_dtype, f"preview is {preview.dtype}, expected {model.picture_dtype}"
        assert not preview.requires_grad, "preview is not detached"
        assert preview.min() >= 0, "preview goes below 0"
        assert preview.max() <= 1, "preview goes above 1"
    if total is not None and len(events) < total and "steps" in subject.options:
        again: list[StepEvent] = []
        more = subject.zoo.options(subject.name, **{**subject.options, "steps": int(subject.options["steps"]) + 1})
        subject.call(model, on_step=again.append, options=more)
        settled = (
            not again or again[-1].total is None or len(again) == again[-1].total
        )  # it may end early, but not twice
        assert settled, f"total is {total}, but the work ended after {len(events)} steps"
    (without_listener,) = subject.call(model)
    assert torch.equal(pictures, without_listener), "listening changed the result"


def only_false_stops(subject: Subject) -> None:
    """Returning False ends the work after that step with a complete picture; 0, None and True do not end it."""
    model = subject.create()
    (whole,) = subject.call(model)
    for answer in (None, True, 0, ""):
        (pictures,) = subject.call(model, on_step=lambda event, answer=answer: answer)  # type: ignore[misc]
        assert torch.equal(pictures, whole), f"answering {answer!r} changed the result"
    steps: list[int] = []

    def stop(event: StepEvent) -> bool:
        steps.append(event.step)
        return False

    (pictures,) = subject.call(model, on_step=stop)
    assert steps == [1], f"after False at step 1 there were steps {steps[1:]}"
    assert pictures.shape == whole.shape, f"the interrupted picture is {list(pictures.shape)}"
    assert pictures.isfinite().all(), "the interrupted picture is not finite"


def errors_of_the_listener_reach_the_caller(subject: Subject) -> None:
    """An exception in `on_step` propagates, and the model works afterwards."""

    class ListenerError(Exception):
        pass

    def fail(event: StepEvent) -> None:
        raise ListenerError

    model = subject.create()
    (before,) = subject.call(model)
    try:
        subject.call(model, on_step=fail)
    except ListenerError:
        pass
    else:
        raise AssertionError("an exception of on_step was swallowed")
    (after,) = subject.call(model)
    assert torch.equal(before, after), "a call that raised an exception changed the next one"


CHECKS: tuple[Check, ...] = (reports_each_step, only_false_stops, errors_of_the_listener_reach_the_caller)
