"""The search: budgets to the picture, kept pictures that differ, what is scored, and work that is repeated."""

from __future__ import annotations

from typing import Any, cast

import ganart_wishes
import pytest
import torch
from ganart_wishes.model import Flat

from ganart_zoo import Zoo
from ganart_zoo.contract import SettingsError, StepEvent
from ganart_zoo.running.generators import LoadedGenerator
from ganart_zoo.running.panel import CriticChoice, Panel, load_critics
from ganart_zoo.running.prompts import read_prompt
from ganart_zoo.running.search import Candidate, Goal, Refinement, Search

METHODS = ("gradient", "cma", "resample")


def search(
    goal: Goal, refinement: str = "auto", *, generator: str = "flat", critic: str = "wish", on_step: Any = None
) -> tuple[Search, list[Candidate]]:
    zoo = Zoo(plugins=[ganart_wishes])
    loaded = LoadedGenerator.load(zoo, generator)
    choices = load_critics(zoo, [CriticChoice(critic)], device="cpu", fetch=False)
    panel = Panel.of(choices, prompt=read_prompt(["red"]))
    with loaded.work("imagine", {}, on_step=on_step) as work:
        made = Search(loaded, None, panel, goal, 3, cast("Refinement", refinement), work)
        return made, made.run()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("budget", [9, 17, 26, 75])
def test_a_budget_is_spent_to_the_last_picture(method: str, budget: int) -> None:
    done, _ = search(Goal(8, 3, budget), method)
    assert done.evaluations == budget


@pytest.mark.parametrize("method", METHODS)
def test_all_that_are_kept_differ(method: str) -> None:
    # a refined picture is nearly that of the step before, and must not crowd out the others
    _, found = search(Goal(8, 4, 200), method)
    assert len(found) == 4
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    colours = [one.picture.mean(dim=(0, 2, 3)) for one in found]
    apart = [float((one - other).abs().mean()) for row, one in enumerate(colours) for other in colours[:row]]
    assert min(apart) >= 0.008


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stop", [21, 45])
def test_work_that_was_stopped_is_repeated_as_far(method: str, stop: int) -> None:
    def on_step(event: StepEvent) -> bool | None:
        return False if event.step >= stop else None

    stopped, first = search(Goal(16, 4, 300), method, on_step=on_step)
    assert stop <= stopped.evaluations < 300
    again, second = search(Goal(16, 4, 300, repeated=stopped.evaluations), method)
    assert again.evaluations == stopped.evaluations
    assert [one.score for one in second] == [one.score for one in first]
    assert all(torch.equal(one.latents, other.latents) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_what_is_saved_is_what_is_scored(method: str) -> None:
    # unclamped, the mean would rise for ever
    _, found = search(Goal(4, 1, 80), method, generator="wild", critic="bright")
    assert found[0].refined
    assert found[0].score == pytest.approx(float(found[0].picture.mean()), abs=1e-6)
    assert found[0].score <= 1


def test_gradients_of_many_pictures_are_taken_a_few_at_a_time() -> None:
    search(Goal(64, 1))
    Flat.asked.clear()
    done, found = search(Goal(32, 32, 32 + 32 * 8), "gradient")
    assert done.evaluations == 288
    assert len(found) > 16
    assert {rows for rows, *_ in Flat.asked[-40:]} == {4}


def test_refining_starts_only_where_the_budget_allows_it() -> None:
    assert search(Goal(8, 1, 8), "gradient")[0].refinement == "none"
    assert search(Goal(8, 1), "cma")[0].refinement == "none"
    assert search(Goal(8, 1, 9), "auto")[0].refinement == "gradient"
    assert search(Goal(8, 1, 9), "auto", generator="stone")[0].refinement == "cma"


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        (Goal(0), "count is 0, expected at least 1"),
        (Goal(4, 5), "keep is 5, expected at most 4, as many"),
        (Goal(4, 1, 0), "budget is 0"),
        (Goal(4, 1, patience=0), "patience is 0"),
        (Goal(4, 1, seconds=0.0), "seconds is 0.0, expected more than 0"),
        (Goal(4, 1, seconds=float("nan")), "seconds is nan"),
        (Goal(4, 1, target=float("nan")), "target is nan, expected a score"),
    ],
)
def test_goals_out_of_range_are_named(goal: Goal, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        goal.check()
