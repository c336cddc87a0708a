"""Critics that score together: shares, standard scores, parts of prompts, and what a panel refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ganart_wishes
import numpy as np
import pytest
import torch
from ganart_wishes.model import COLOURS

from ganart_zoo import Zoo
from ganart_zoo.contract import ModelError, SettingsError
from ganart_zoo.running.panel import CriticChoice, Panel, default_critics, load_critics
from ganart_zoo.running.prompts import read_prompt

REFERENCE = torch.full((1, 3, 4, 4), 0.5)
PICTURES = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def zoo() -> Zoo:
    return Zoo(plugins=[ganart_wishes])


def panel(zoo: Zoo, *choices: CriticChoice, prompt: tuple[str, ...] = ("red",), **more: Any) -> Panel:
    loaded = load_critics(zoo, choices, device="cpu", fetch=False)
    return Panel.of(loaded, prompt=read_prompt(prompt), reference=REFERENCE, **more)


def squared(colour: str) -> np.ndarray:
    means = PICTURES.double().mean(dim=(2, 3)).numpy()
    return -((means - np.array(COLOURS[colour])) ** 2).sum(axis=1)


def test_one_critics_scores_stay_as_they_are(zoo: Zoo) -> None:
    alone = panel(zoo, CriticChoice("wish", 5.0))
    votes = alone.votes(PICTURES, "pictures")
    alone.standardise(votes)
    np.testing.assert_allclose(alone.total(votes), squared("red"), rtol=1e-5)


def test_several_critics_count_by_their_weights_in_standard_deviations(zoo: Zoo) -> None:
    both = panel(zoo, CriticChoice("wish", 1.0), CriticChoice("likeness", -3.0))
    votes = both.votes(PICTURES, "pictures")
    both.standardise(votes[:5])
    likeness = -100 * np.abs(PICTURES.double().mean(dim=(2, 3)).numpy() - 0.5).sum(axis=1)
    columns = np.stack([squared("red"), likeness], axis=1)
    standard = (columns - columns[:5].mean(axis=0)) / columns[:5].std(axis=0, ddof=1)
    np.testing.assert_allclose(both.total(votes), standard @ [0.25, -0.75], rtol=1e-4, atol=1e-5)


def test_parts_of_a_prompt_share_the_score(zoo: Zoo) -> None:
    votes = panel(zoo, CriticChoice("wish"), prompt=("red:3", "blue:-1")).votes(PICTURES, "pictures")
    np.testing.assert_allclose(votes[:, 0], 0.75 * squared("red") - 0.25 * squared("blue"), rtol=1e-5)


def test_a_constant_critic_is_named_once_four_pictures_show_it(zoo: Zoo) -> None:
    asleep = panel(zoo, CriticChoice("asleep"))
    asleep.standardise(asleep.votes(PICTURES[:3], "pictures"))
    with pytest.raises(ModelError, match="ganart-wishes/asleep gives all of the first 4 pictures the score 0"):
        asleep.standardise(asleep.votes(PICTURES[:4], "pictures"))


def test_a_panel_without_critics_scores_zero(zoo: Zoo) -> None:
    nobody = panel(zoo)
    assert nobody.total(nobody.votes(PICTURES, "pictures")).tolist() == [0.0] * 6
    assert not nobody.differentiable


def test_gradients_pass_where_every_critic_has_one(zoo: Zoo) -> None:
    assert panel(zoo, CriticChoice("wish")).differentiable
    assert not panel(zoo, CriticChoice("wish"), CriticChoice("likeness")).differentiable


@pytest.mark.parametrize("weight", [0.0, float("nan"), float("inf")])
def test_weights_are_finite_numbers_other_than_0(zoo: Zoo, weight: float) -> None:
    with pytest.raises(SettingsError, match="the weight of critic wish is"):
        panel(zoo, CriticChoice("wish", weight))


def test_a_critic_without_what_it_compares_with_is_refused(zoo: Zoo) -> None:
    loaded = load_critics(zoo, [CriticChoice("likeness")], device="cpu", fetch=False)
    with pytest.raises(SettingsError, match="likeness scores pictures against a reference picture; give one"):
        Panel.of(loaded, prompt=read_prompt(["red"]))


def test_choices_are_described_and_read_back() -> None:
    for choice in (CriticChoice("wish", 2.0, {"weights": "hub:a/b@c"}), CriticChoice(Path("runs/first"), -1.0)):
        again = CriticChoice.from_json(choice.to_json())
        assert (again.model, again.weight, again.settings or None) == (choice.model, choice.weight, choice.settings)


def test_there_are_no_default_critics_without_their_package(zoo: Zoo) -> None:
    assert default_critics(zoo, prompt=True, reference=True) == ()
