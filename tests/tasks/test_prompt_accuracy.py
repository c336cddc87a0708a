"""R-precision of prompts, on a generator and a critic whose ranks are counted by hand."""

from __future__ import annotations

import ganart_wishes
import pytest
import torch
from ganart_wishes.model import COLOURS, Flat

from ganart_zoo import Zoo
from ganart_zoo.contract import SettingsError
from ganart_zoo.running.generators import load_generator
from ganart_zoo.tasks.prompt_accuracy import prompt_accuracy, wilson_interval


@pytest.fixture
def zoo() -> Zoo:
    return Zoo(plugins=[ganart_wishes])


def test_ranks_are_those_counted_by_hand(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    painted = {"red": (0.9, 0.1, 0.1), "blue": (0.45, 0.5, 0.55), "grey": (0.5, 0.5, 0.5)}

    def paint(self, latents, condition=None, **_):
        return torch.tensor([painted[condition.prompts[0]]])[:, :, None, None].expand(1, 3, 8, 8)

    monkeypatch.setattr(Flat, "forward", paint)
    result = prompt_accuracy(load_generator(zoo, "flat"), "wish", list(COLOURS))
    # red is nearest red; the "blue" picture is nearest grey, then blue; grey is nearest grey
    assert result.metrics["r_precision"] == pytest.approx(2 / 3)
    assert result.metrics["mean_rank"] == pytest.approx(4 / 3)
    assert result.metrics["within_five"] == 1
    assert result.metrics["chance"] == pytest.approx(1 / 3)
    assert result.about["among"] == 3


def test_a_stop_gives_the_figures_so_far(zoo: Zoo) -> None:
    result = prompt_accuracy(load_generator(zoo, "flat"), "wish", list(COLOURS), on_step=lambda event: event.step < 2)
    assert result.stopped
    assert result.about["prompts"] == 2


def test_what_does_not_fit_is_refused_in_words(zoo: Zoo) -> None:
    flat = load_generator(zoo, "flat")
    with pytest.raises(SettingsError, match="1 prompts were given, expected at least 2"):
        prompt_accuracy(flat, "wish", ["red"])
    with pytest.raises(SettingsError, match="'red' is given twice"):
        prompt_accuracy(flat, "wish", ["red", "blue", "red"])
    with pytest.raises(SettingsError, match="likeness takes no prompt"):
        prompt_accuracy(flat, "likeness", ["red", "blue"])
    with pytest.raises(SettingsError, match="stone takes no text"):
        prompt_accuracy(load_generator(zoo, "stone"), "wish", ["red", "blue"])


@pytest.mark.parametrize(("hits", "trials", "low", "high"), [(0, 10, 0.0, 0.2775), (9, 10, 0.5958, 0.9821)])
def test_the_interval_is_wilsons(hits: int, trials: int, low: float, high: float) -> None:
    # values of statsmodels' proportion_confint(method="wilson")
    assert wilson_interval(hits, trials) == pytest.approx((low, high), abs=1e-4)
