"""Pictures optimised in tiles are those optimised at once."""

from __future__ import annotations

import pytest
import torch
from ganart_gatys.config import Config, Options
from ganart_gatys.model import Gatys
from ganart_gatys.objective import LayerWeights, Objective, Painting
from ganart_gatys.tiled import TiledObjective
from torch import Tensor

from ganart_zoo.contract import Backbone, Previous, SettingsError, Style
from ganart_zoo.perceptual import SHIFTS, group_styles

LAYERS = LayerWeights(style={"shallow": 0.3, "deep": 0.7}, content={"deep": 1.0})


def _regions(content: Tensor, style: Tensor) -> list[Style]:
    left = torch.zeros_like(content[:, :1])
    left[..., :20] = 1
    upper = torch.zeros_like(style[:, :1])
    upper[..., :11, :] = 1
    return [Style(style, region=left, source_region=upper), Style(style.flip(-1), weight=2.0)]


def _previous(content: Tensor) -> Previous:
    """Return the content mirrored, trusted more and more to the right."""
    mask = torch.linspace(0, 1, content.shape[-1], dtype=content.dtype).expand(len(content), 1, *content.shape[-2:])
    return Previous(content.flip(-2), mask)


@pytest.mark.parametrize(
    "options", [Options(), Options(alpha=0.4, content_weight=0), Options(style_weight=0), Options(tv_weight=0)]
)
def test_losses_and_gradient_are_those_of_the_whole(
    backbone: Backbone, content: Tensor, style: Tensor, options: Options
) -> None:
    network, content, style = backbone.double(), content.double(), style.double()
    styles = _regions(content, style)
    paintings = [Painting(style, styles[0].source_region), Painting(style.flip(-1), None)]
    arguments = (network, LAYERS, content, paintings, group_styles(styles), options)
    kept = _previous(content)
    picture = (content.flip(-1) * 1.2 - 0.1).requires_grad_()
    for shift in SHIFTS[::5]:
        whole = Objective(*arguments, kept)(picture, shift)
        tiled = TiledObjective(*arguments, tile=16, previous=kept)(picture, shift)
        torch.testing.assert_close(torch.stack(tiled), torch.stack(whole), rtol=1e-12, atol=0)
        expected, found = (torch.autograd.grad(losses.total, picture)[0] for losses in (whole, tiled))
        assert (found - expected).norm() <= 1e-12 * expected.norm()


@pytest.mark.parametrize("preserve_colour", ["off", "luminance"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_pictures_are_the_same(
    backbone: Backbone, content: Tensor, style: Tensor, preserve_colour: str, optimizer: str
) -> None:
    model = Gatys(Config(), backbone=backbone.double())
    content = torch.cat([content, content.flip(-2)], dim=-1).double().repeat(1, 1, 2, 1)[..., :90]
    whole = {"steps": 10, "preserve_colour": preserve_colour, "optimizer": optimizer, "scales": 2}
    made = [
        model.stylize(
            content,
            _regions(content, style.double()),
            previous=_previous(content),
            options=Options(**whole, tile=tile),
        )
        for tile in (None, 64)
    ]
    assert (made[0] - made[1]).abs().max() < 1e-10
    assert not torch.equal(made[0], content)


def test_the_forecast_grows_with_the_tile_and_the_picture(backbone: Backbone, style: Tensor) -> None:
    forecast = Gatys(Config(), backbone=backbone).memory([Style(style)])
    assert forecast(2000, 2000, 256) < forecast(2000, 2000, 1024) < forecast(2000, 2000, None)
    assert forecast(2000, 2000, 256) < forecast(4000, 2000, 256)
    sliced = Gatys(Config(), backbone=backbone).memory([Style(style)], options=Options(style_term="sliced"))
    assert sliced(2000, 2000, None) > 0
    with pytest.raises(SettingsError, match="style_term='sliced' needs the whole picture at once"):
        sliced(2000, 2000, 256)
