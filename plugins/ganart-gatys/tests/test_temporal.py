"""Frames of a clip: what was painted on the frame before is kept where it is right, and does not matter elsewhere."""

from __future__ import annotations

import pytest
import torch
from ganart_gatys.config import Config, Options
from ganart_gatys.model import Gatys
from ganart_gatys.objective import LayerWeights, Objective, Painting
from torch import Tensor

from ganart_zoo.contract import Backbone, ImageError, Previous, SettingsError, Style
from ganart_zoo.perceptual import group_styles


def _left(like: Tensor) -> Tensor:
    mask = torch.zeros(len(like), 1, *like.shape[-2:], dtype=like.dtype)
    mask[..., : like.shape[-1] // 2] = 1
    return mask


def test_the_loss_is_the_mean_of_squared_changes_where_the_mask_is(
    backbone: Backbone, content: Tensor, style: Tensor
) -> None:
    layers = LayerWeights(style={"shallow": 1.0}, content={"deep": 1.0})
    options = Options(temporal_weight=30)
    arguments = (backbone, layers, content, [Painting(style, None)], group_styles([Style(style)]), options)
    previous, mask = content.flip(-1), _left(content)
    alone, kept = Objective(*arguments)(content), Objective(*arguments, Previous(previous, mask))(content)
    half = content.shape[-1] // 2
    expected = ((content - previous)[..., :half] ** 2).sum() / content.numel()
    torch.testing.assert_close(kept.temporal, expected)
    torch.testing.assert_close(kept.total, alone.total + 30 * expected)


@pytest.mark.parametrize("how", [{"scales": 2}, {"preserve_colour": "luminance"}, {"optimizer": "lbfgs"}], ids=str)
def test_what_was_painted_stays_where_it_is_right(
    backbone: Backbone, content: Tensor, style: Tensor, how: dict[str, object]
) -> None:
    model, options = Gatys(Config(), backbone=backbone), Options(steps=20, plateau=0, **how)
    before = model.stylize(content, [Style(style)], options=options)
    changed = (content + 0.05 * content.flip(-1)).clamp(0, 1)
    alone = model.stylize(changed, [Style(style)], options=options)
    kept = model.stylize(changed, [Style(style)], previous=Previous(before, _left(content)), options=options)
    half = content.shape[-1] // 2
    apart, free = ((picture - before)[..., :half].abs().mean() for picture in (kept, alone))
    assert apart < 0.5 * free


def test_a_small_painting_and_several_rows_keep_it_too(backbone: Backbone, content: Tensor, style: Tensor) -> None:
    model, options = Gatys(Config(), backbone=backbone), Options(steps=4, paint_size=64)
    photos = torch.cat([content, content.flip(-1)]).repeat(1, 1, 2, 2)
    kept = Previous(1 - photos, torch.ones_like(photos[:, :1]))
    made = model.stylize(photos, [Style(style)], previous=kept, options=options)
    for row in range(2):
        one = Previous(*(each[row : row + 1] for each in kept))
        alone = model.stylize(photos[row : row + 1], [Style(style)], previous=one, options=options)
        assert torch.equal(made[row : row + 1], alone)
    assert (made - kept.image).abs().mean() < (made - photos).abs().mean()


def test_tensors_of_inference_mode_are_taken(backbone: Backbone, content: Tensor, style: Tensor) -> None:
    with torch.inference_mode():
        kept = Previous(content.clone(), torch.ones_like(content[:, :1]))
    made = Gatys(Config(), backbone=backbone).stylize(content, [Style(style)], previous=kept, options=Options(steps=2))
    assert made.isfinite().all()


@pytest.mark.parametrize(
    ("image", "mask", "error", "said"),
    [
        (torch.zeros(1, 3, 40, 47), torch.zeros(1, 1, 40, 48), SettingsError, "expected the content's"),
        (torch.zeros(1, 3, 40, 48), torch.zeros(1, 3, 40, 48), SettingsError, "floating point"),
        (torch.zeros(1, 3, 40, 48), torch.full((1, 1, 40, 48), 1.5), SettingsError, r"values from 1.5 to 1.5"),
        (torch.full((1, 3, 40, 48), torch.nan), torch.zeros(1, 1, 40, 48), ImageError, "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(
    backbone: Backbone, content: Tensor, style: Tensor, image: Tensor, mask: Tensor, error: type, said: str
) -> None:
    with pytest.raises(error, match=said):
        Gatys(Config(), backbone=backbone).stylize(content, [Style(style)], previous=Previous(image, mask))
