"""Options beside the paper's: another style term, averages, carried moments, other scales, small paintings."""

from __future__ import annotations

import pytest
import torch
from ganart_gatys.carrying import carry_moments
from ganart_gatys.config import Config, Options
from ganart_gatys.model import Gatys
from ganart_gatys.objective import LayerWeights, Objective, Painting
from ganart_gatys.sizes import fitted
from ganart_gatys.sliced import SlicedObjective

from ganart_zoo.contract import SettingsError, StepEvent, Style
from ganart_zoo.contract.draws import key_generator
from ganart_zoo.imaging import resize
from ganart_zoo.perceptual import SHIFTS, Adam, StyleGroup, random_directions, with_margin

LAYERS = LayerWeights(style={"shallow": 0.25, "deep": 0.75}, content={"deep": 1.0})
GROUP = StyleGroup(region=None, share=1.0, members=((0, 1.0),))


@torch.no_grad()
@pytest.mark.parametrize("alpha", [1.0, 0.6])
def test_the_sliced_term_is_its_formula(backbone, content, style, alpha):
    options = Options(style_term="sliced", content_weight=0, tv_weight=0, alpha=alpha)
    objective = SlicedObjective(backbone, LAYERS, content, [Painting(style, None)], [GROUP], options)
    shift, expected = SHIFTS[3], 0.0
    for name, weight in LAYERS.style.items():
        seen, painted, own = (
            backbone(with_margin(picture, at), [name])[name][0].flatten(1)
            for picture, at in ((content.flip(-1), shift), (style, (0, 0)), (content, (0, 0)))
        )
        directions = random_directions(len(seen), len(seen), key_generator("gatys sliced", name, *shift))
        rows = [(directions @ values).sort(dim=1).values for values in (seen, painted, own)]
        count = max(row.shape[1] for row in rows[1:]) if alpha < 1 else rows[1].shape[1]

        def at_ranks(row, number):
            return row[:, ((torch.arange(number) + 0.5) * row.shape[1] / number).long()]

        wanted = alpha * at_ranks(rows[1], count) + (1 - alpha) * at_ranks(rows[2], count)
        scale = wanted.square().mean()
        expected += weight * float((rows[0] - at_ranks(wanted, rows[0].shape[1])).square().mean() / scale)
    found = objective(content.flip(-1), shift)
    assert float(found.style) == pytest.approx(expected, rel=1e-4)
    gram = Objective(
        backbone, LAYERS, content, [Painting(style, None)], [GROUP], options.model_copy(update={"style_term": "gram"})
    )
    both = SlicedObjective(
        backbone, LAYERS, content, [Painting(style, None)], [GROUP], options.model_copy(update={"style_term": "both"})
    )
    mean = (found.style + gram(content.flip(-1), shift).style) / 2
    torch.testing.assert_close(both(content.flip(-1), shift).style, mean)


@pytest.mark.parametrize(
    "options", [{"style_term": "sliced"}, {"style_term": "both"}, {"scale_ratio": 1.41, "carry": True}]
)
def test_each_way_lowers_its_loss(backbone, content, style, options):
    events: list[StepEvent] = []
    Gatys(Config(), backbone=backbone).stylize(
        content, [Style(image=style)], options=Options(steps=40, scales=2, plateau=0, **options), on_step=events.append
    )
    last = [event.losses["total"] for event in events if event.phase == events[-1].phase]
    assert sum(last[-4:]) < 0.9 * sum(last[:4])


def test_an_average_is_of_the_last_pictures(backbone, content, style):
    seen = []
    result = Gatys(Config(), backbone=backbone).stylize(
        content,
        [Style(image=style)],
        options=Options(steps=6, scales=1, average=2, plateau=0),
        on_step=lambda event: seen.append(event.preview()),
    )
    expected = seen[0]
    for step, picture in enumerate(seen[1:], 2):
        expected = expected.lerp(picture, 1 / min(step, 2))
    torch.testing.assert_close(result.clamp(0, 1), expected, rtol=0, atol=1e-4)


def test_moments_are_carried_to_levels_of_their_size():
    def adam(*sides: int) -> tuple[Adam, list[torch.Tensor]]:
        levels = [torch.zeros(1, 3, side, side, requires_grad=True) for side in sides]
        return Adam(levels, lr=0.1), levels

    old, old_levels = adam(20, 10)
    for level in old_levels:
        level.grad = torch.full_like(level, float(level.shape[-1]))
    old.step()
    new, levels = adam(41, 20, 11)
    carry_moments(old, old_levels, new, levels)
    assert levels[0] not in new.state
    for level, side in zip(levels[1:], (20, 10), strict=True):
        torch.testing.assert_close(new.state[level]["exp_avg"], torch.full_like(level, 0.1 * side))
        torch.testing.assert_close(new.state[level]["exp_avg_sq"], torch.full_like(level, 0.001 * side**2))
    for level in levels:
        level.grad = torch.ones_like(level)
    new.step()


def test_a_small_painting_gets_the_photos_size_and_edges(backbone, style):
    photo = torch.full((1, 3, 80, 128), 0.2)
    photo[..., 64:] = 0.8
    options = Options(steps=2, paint_size=64, start="content")
    made = Gatys(Config(), backbone=backbone).stylize(photo, [Style(image=style)], options=options)
    small = Gatys(Config(), backbone=backbone).stylize(
        resize(photo, (40, 64)), [Style(image=style)], options=options.model_copy(update={"paint_size": None})
    )
    assert made.shape == photo.shape
    torch.testing.assert_close(resize(made, (40, 64)), small, rtol=0, atol=0.05)
    edge, blurred = ((picture[..., 64] - picture[..., 63]).mean() for picture in (made, resize(small, (80, 128))))
    assert edge > 1.3 * blurred
    assert fitted((80, 128), 64) == (40, 64)
    assert fitted((16, 2000), 500) == (16, 500)
    assert fitted((80, 128), 128) == fitted((80, 128), None) == (80, 128)


@pytest.mark.parametrize(
    ("options", "region", "message"),
    [({"tile": 64}, None, "cannot do the tiles"), ({}, torch.ones(1, 1, 40, 48), "cannot do regions")],
)
def test_what_the_sliced_term_cannot_do_is_said(backbone, content, style, options, region, message):
    with pytest.raises(SettingsError, match=message):
        Gatys(Config(), backbone=backbone).stylize(
            content, [Style(image=style, region=region)], options=Options(style_term="sliced", **options)
        )
