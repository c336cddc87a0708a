"""Descent: it finds minima, keeps the best picture of each row, reports, stops, and says when a loss explodes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from ganart_zoo.contract import ModelError, StepEvent
from ganart_zoo.perceptual import (
    LBFGS,
    Adam,
    Descent,
    Evaluation,
    NormalizedGradient,
    Progress,
    descend,
    from_pyramid,
    to_pyramid,
)

GOAL = torch.linspace(0, 1, 3 * 16 * 16).view(1, 3, 16, 16)


def distance(picture: Tensor) -> Evaluation:
    loss = (picture - GOAL).square().mean()
    return Evaluation(loss, picture, {"distance": loss})


def test_adam_on_a_pyramid_finds_the_minimum():
    levels = [level.requires_grad_() for level in to_pyramid(torch.full_like(GOAL, 0.5))]
    optimizer = torch.optim.Adam(levels, lr=0.02)
    end = descend(optimizer, lambda _: distance(from_pyramid(levels)), steps=200, last_rate=0.05)
    torch.testing.assert_close(end.picture, GOAL, rtol=0, atol=0.01)
    assert (end.steps, end.stopped, end.parameters) == (200, False, ())
    assert not end.picture.requires_grad


def torch_adam(levels: list[Tensor], lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(levels, lr=lr, fused=True)


def nimble_adam(levels: list[Tensor], lr: float) -> Adam:
    return Adam(levels, lr, betas=(0.5, 0.9))


def torch_nimble_adam(levels: list[Tensor], lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(levels, lr=lr, betas=(0.5, 0.9), fused=True)


def torch_lbfgs(levels: list[Tensor], lr: float) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(levels, lr=lr, max_iter=1, tolerance_grad=0, tolerance_change=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "kinds",
    [(Adam, torch_adam), (nimble_adam, torch_nimble_adam), (LBFGS, torch_lbfgs)],
    ids=["adam", "adam-betas", "lbfgs"],
)
def test_optimizers_take_the_steps_of_torch(kinds, dtype: torch.dtype) -> None:
    ends = []
    for kind in kinds:
        levels = [level.requires_grad_() for level in to_pyramid(torch.full_like(GOAL, 0.5, dtype=dtype))]
        goal = GOAL.to(dtype)

        def evaluate(_: int, levels: list[Tensor] = levels, goal: Tensor = goal) -> Evaluation:
            picture = from_pyramid(levels)
            return Evaluation((picture - goal).pow(4).mean(), picture)

        descend(kind(levels, 0.02), evaluate, steps=7, last_rate=0.3)
        ends.append([level.detach() for level in levels])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*ends, strict=True))


def test_adam_follows_gradients_of_any_layout() -> None:
    """What `torch.autograd.grad` returns may be transposed, or expanded from a single number."""
    goal = torch.linspace(0, 1, 12).view(3, 4)
    for loss in (lambda x: (x.T - goal.T).square().sum(), lambda x: x.sum()):
        ours, theirs = (torch.full((3, 4), 0.5, requires_grad=True) for _ in range(2))
        optimizer = torch_adam([theirs], 0.1)
        descend(Adam([ours], lr=0.1), lambda _, x=ours, loss=loss: Evaluation(loss(x), x[None, None]), steps=3)
        for _ in range(3):
            optimizer.zero_grad()
            loss(theirs).backward()
            optimizer.step()
        assert torch.equal(ours, theirs)


def test_a_descent_does_not_import_the_compiler() -> None:
    code = """
import sys, torch
from ganart_zoo.perceptual import LBFGS, Adam, Evaluation, NormalizedGradient, descend
for kind in (Adam, LBFGS, NormalizedGradient):
    x = torch.zeros(1, 3, 4, 4, requires_grad=True)
    descend(kind([x], lr=0.1), lambda _: Evaluation((x - 0.5).square().mean(), x), steps=2)
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_best_is_kept_and_not_the_last():
    picture = GOAL.clone().requires_grad_()
    end = descend(NormalizedGradient([picture], lr=3.0), lambda _: distance(picture + 0.01), steps=5)
    torch.testing.assert_close(end.picture, GOAL + 0.01, rtol=0, atol=0)
    assert end.loss.item() == pytest.approx(1e-4, rel=1e-4)


@pytest.mark.parametrize("view", [lambda p: p, lambda p: p.expand(-1, -1, -1, -1)], ids=["parameter", "view"])
def test_steps_do_not_change_a_kept_picture_that_is_the_parameter(view):
    start = GOAL + 0.01
    picture = start.clone().requires_grad_()
    end = descend(NormalizedGradient([picture], lr=3.0), lambda _: distance(view(picture)), steps=3)
    assert torch.equal(end.picture, start)
    assert not torch.equal(picture, start)


def test_parameters_of_the_best_are_copied_on_demand():
    point = torch.tensor([0.7], requires_grad=True)
    optimizer = torch.optim.SGD([point], lr=1.5)  # every other step overshoots further
    end = descend(
        optimizer,
        lambda _: Evaluation((point - 0.5).square().sum(), point.expand(1, 3, 2, 2)),
        steps=4,
        keep_parameters=True,
    )
    torch.testing.assert_close(end.parameters[0], torch.tensor([0.7]))
    torch.testing.assert_close(end.picture, torch.full((1, 3, 2, 2), 0.7))


def test_rows_keep_their_own_best():
    """The first row starts at its goal and can only get worse; the second gets better at each step."""
    goals = torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])
    picture = torch.zeros(2, 3, 4, 4, requires_grad=True)

    def evaluate(_: int) -> Evaluation:
        away = (picture - goals - 1e-6).square().mean(dim=(1, 2, 3))
        return Evaluation(away, picture)

    end = descend(NormalizedGradient([picture], lr=0.1), evaluate, steps=9)
    assert end.loss.shape == (2,)
    assert torch.equal(end.picture[0], torch.zeros(3, 4, 4))
    torch.testing.assert_close(end.picture[1], torch.full((3, 4, 4), 0.8))


def test_rows_step_as_if_alone_and_by_the_same_length():
    start = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def after(rows: Tensor) -> Tensor:
        picture = rows.clone().requires_grad_()
        scale = torch.tensor([1.0, 1e3])[: len(rows)].view(-1, 1, 1, 1)
        optimizer = NormalizedGradient([picture], lr=0.01, smooth=lambda gradient: gradient.roll(1, -1))
        descend(optimizer, lambda _: Evaluation((scale * picture.square()).mean(), picture), steps=1)
        return picture.detach()

    both = after(start)
    torch.testing.assert_close(both[:1], after(start[:1]))
    torch.testing.assert_close((both - start).abs().mean(dim=(1, 2, 3)), torch.full((2,), 0.01))
    assert torch.equal((both - start).sign(), -start.roll(1, -1).sign())


def test_the_rate_falls_along_half_a_cosine_and_is_restored():
    point = torch.zeros(1, 1, 1, 1, requires_grad=True)
    optimizer = torch.optim.SGD([point], lr=2.0)
    rates = []

    def evaluate(_: int) -> Evaluation:
        rates.append(optimizer.param_groups[0]["lr"])
        return Evaluation(0 * point.sum(), point)

    descend(optimizer, evaluate, steps=4, last_rate=0.5)
    assert rates == pytest.approx([2.0, 1.853553, 1.5, 1.146447], rel=1e-6)
    assert optimizer.param_groups[0]["lr"] == 2.0


def test_a_plateau_ends_early():
    picture = torch.zeros_like(GOAL, requires_grad=True)
    optimizer = torch.optim.SGD([picture], lr=0.0)
    assert descend(optimizer, lambda _: distance(picture), steps=100, plateau=0.01).steps == 40
    assert descend(optimizer, lambda _: distance(picture), steps=100).steps == 100


def test_on_step_sees_each_step_and_stops():
    picture = torch.zeros_like(GOAL, requires_grad=True)
    seen: list[tuple[Evaluation, Descent]] = []

    def watch(evaluation: Evaluation, best: Descent) -> bool:
        seen.append((evaluation, best))
        return len(seen) == 3

    end = descend(NormalizedGradient([picture], lr=0.01), lambda _: distance(picture), steps=10, on_step=watch)
    assert (end.stopped, end.steps, len(seen)) == (True, 3, 3)
    assert [float(e.terms["distance"]) for e, _ in seen] == sorted((float(e.loss) for e, _ in seen), reverse=True)
    assert torch.equal(end.picture, seen[-1][1].picture)
    assert not any(e.picture.requires_grad for e, _ in seen)


def test_weights_of_the_network_get_no_gradient():
    network = nn.Conv2d(3, 3, 1)
    picture = torch.rand(1, 3, 4, 4, requires_grad=True)
    descend(torch.optim.Adam([picture]), lambda _: Evaluation(network(picture).square().mean(), picture), steps=2)
    assert network.weight.grad is None


def test_a_loss_that_is_not_finite_is_an_error():
    picture = torch.zeros(1, 3, 4, 4, requires_grad=True)
    with pytest.raises(ModelError, match=r"the loss became nan at step 2; lower learning_rate from 0\.3"):
        descend(
            torch.optim.SGD([picture], lr=0.3),
            lambda step: Evaluation(picture.sum() * (torch.nan if step else 1), picture),
            steps=5,
        )


def test_progress_counts_over_rows_and_previews_the_whole_batch():
    events: list[StepEvent] = []
    previews: list[Tensor] = []
    result = torch.zeros(2, 3, 4, 4)

    def listen(event: StepEvent) -> bool:
        events.append(event)
        previews.append(event.preview())
        return event.step < 3

    progress = Progress(result, 4, listen)
    answers = []
    for row in (0, 1):
        progress.begin(row)
        for _ in range(2):
            answers.append(progress.step({"x": torch.tensor(1.5)}, lambda: torch.full((1, 3, 4, 4), 2.0), "64 px"))
        result[row] = 0.25
    assert [event.step for event in events] == [1, 2, 3, 4]
    assert {event.total for event in events} == {4}
    assert [event.phase for event in events] == ["picture 1, 64 px"] * 2 + ["picture 2, 64 px"] * 2
    assert answers == [False, False, True, True]
    assert progress.stopped
    assert events[0].losses == {"x": 1.5}
    assert torch.equal(previews[2][0], torch.full((3, 4, 4), 0.25))
    assert torch.equal(previews[2][1], torch.ones(3, 4, 4))
