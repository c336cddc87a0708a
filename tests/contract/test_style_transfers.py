"""Named styles that blend, and a dream that needs none or follows a guide."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from toy_transfer.dream import Dream
from toy_transfer.named import Named

from ganart_zoo import Zoo
from ganart_zoo.contract import SettingsError, StepEvent, Style, StyleTransfer


@pytest.fixture
def named(zoo: Zoo) -> Named:
    torch.manual_seed(0)
    return cast(Named, zoo.create("named"))


@pytest.fixture
def dream(zoo: Zoo) -> Dream:
    torch.manual_seed(0)
    return cast(Dream, zoo.create("dream"))


def test_a_blend_is_the_weighted_mean_of_its_styles(named: Named) -> None:
    content = torch.rand(2, 3, 4, 5)
    painted = named.stylize(content, [Style(name="dusk", weight=3), Style(name="dawn", weight=1)])
    matrix, offset = named.matrix.double().numpy(), named.offset.double().numpy()
    mixed_matrix, mixed_offset = (0.75 * part[2] + 0.25 * part[0] for part in (matrix, offset))
    expected = np.tensordot(content.double().numpy(), mixed_matrix, axes=(1, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(painted.numpy(), expected + mixed_offset[:, None, None], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("styles", "message"),
    [
        ([Style(name="dsk")], "Named has no style 'dsk'; did you mean 'dusk'"),
        ([Style(name="winter")], "it has dawn, noon, dusk"),
        ([Style()], "a style is either a picture or a name"),
        ([Style(image=torch.zeros(1, 3, 2, 2), name="dusk")], "a style is either a picture or a name"),
        ([Style(name="dusk", weight=-1)], "style weight is -1, expected a number of at least 0"),
        ([Style(name="dusk", weight=float("nan"))], "style weight is nan"),
        ([Style(name="dusk", weight=0), Style(name="dawn", weight=0)], "all style weights are 0"),
        ([], "give a style, one of dawn, noon, dusk"),
    ],
)
def test_styles_that_cannot_be_blended_are_refused(named: Named, styles: list[Style], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        named.stylize(torch.rand(1, 3, 4, 4), styles)


def test_shares_are_the_weights_over_their_sum() -> None:
    model = StyleTransfer()
    picture = torch.zeros(1, 3, 2, 2)
    assert model.shares([]) == ()
    assert model.shares([Style(picture)]) == (1.0,)
    assert model.shares([Style(picture, weight=1), Style(picture, weight=4), Style(picture, weight=0)]) == (0.2, 0.8, 0)


def test_a_dream_raises_what_its_layer_sees(zoo: Zoo, dream: Dream) -> None:
    content = torch.rand(2, 3, 24, 32)
    seen = [
        dream.backbone(picture, ["deep"])["deep"].square().mean(dim=(1, 2, 3))
        for picture in (content, dream.stylize(content, [], options=zoo.options("dream", steps=15)))
    ]
    assert (seen[1] > 1.2 * seen[0]).all()


def test_a_guided_dream_moves_towards_its_guide(zoo: Zoo, dream: Dream) -> None:
    content, guide = torch.rand(1, 3, 24, 32), torch.rand(1, 3, 40, 20) * torch.tensor([1.0, 0.5, 0.1]).view(3, 1, 1)

    def distance(picture: torch.Tensor) -> float:
        one, other = (dream.backbone(p, ["deep"])["deep"].mean(dim=(2, 3)) for p in (picture, guide))
        return float((one - other).square().mean())

    options = zoo.options("dream", steps=30, strength=0.01)
    assert distance(dream.stylize(content, [Style(guide)], options=options)) < 0.5 * distance(content)


def test_a_dream_can_start_elsewhere(zoo: Zoo, dream: Dream) -> None:
    content, start = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    first = dream.stylize(content, [], init=start, options=zoo.options("dream", steps=1))
    torch.testing.assert_close(first, start, rtol=0, atol=0)  # the best of one step is where it began


def test_stopping_keeps_the_best_and_not_the_last(zoo: Zoo, dream: Dream) -> None:
    """A stride far too long makes every later step worse, so the best is an early one."""
    seen: list[float] = []

    def watch(event: StepEvent) -> bool:
        seen.append(event.losses["dream"])
        return event.step < 6

    content = torch.rand(1, 3, 16, 16)
    guide = Style(content * 0.98)
    options = zoo.options("dream", steps=50, strength=5.0)
    picture = dream.stylize(content, [guide], options=options, on_step=watch)
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 6
    torch.testing.assert_close(picture, content, rtol=0, atol=0)
