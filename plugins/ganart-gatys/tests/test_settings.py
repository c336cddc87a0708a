"""What is refused, in one clear line; and that the declaration is whole and light."""

from __future__ import annotations

import subprocess
import sys

import ganart_gatys
import pytest
import torch
from ganart_gatys.config import Config, Options
from ganart_gatys.model import Gatys
from ganart_gatys.sizes import style_size
from pydantic import ValidationError

from ganart_zoo.contract import GanartError, ImageError, SettingsError, Style
from ganart_zoo.perceptual import Scale

PICTURE = torch.full((1, 3, 32, 40), 0.5)
REGION = torch.ones(1, 1, 32, 40)


@pytest.mark.parametrize(
    ("content", "styles", "settings", "error", "message"),
    [
        (PICTURE, [], {}, SettingsError, "no style was given"),
        (PICTURE, [Style(name="udnie")], {}, SettingsError, "the name 'udnie', but gatys has no named styles"),
        (PICTURE, [Style()], {}, SettingsError, "style 1 has no picture"),
        (PICTURE, [Style(PICTURE), Style(PICTURE, weight=-1)], {}, SettingsError, "style 2 has weight -1"),
        (PICTURE, [Style(PICTURE, weight=float("nan"))], {}, SettingsError, "weight nan"),
        (PICTURE, [Style(PICTURE, weight=0)], {}, SettingsError, "weights of all styles are 0"),
        (PICTURE, [Style(torch.cat([PICTURE] * 2))], {}, SettingsError, "holds 2 pictures"),
        (PICTURE, [Style(PICTURE, region=REGION[..., 1:])], {}, SettingsError, r"point \[1, 1, 32, 40\]"),
        (PICTURE, [Style(PICTURE, region=REGION.bool())], {}, SettingsError, "region of style 1 is torch.bool"),
        (PICTURE, [Style(PICTURE, region=0 * REGION)], {}, SettingsError, "region of style 1 is empty"),
        (PICTURE, [Style(PICTURE, region=2 * REGION)], {}, SettingsError, "from 2 to 2, expected 0..1"),
        (PICTURE, [Style(PICTURE, source_region=REGION[0])], {}, SettingsError, "source region of style 1"),
        (PICTURE[..., :1, :1], [Style(PICTURE)], {}, ImageError, "content is 1 x 1x1 pixels"),
        (PICTURE[..., :3, :], [Style(PICTURE)], {}, ImageError, "content is 1 x 40x3 pixels"),
        (PICTURE[:0], [Style(PICTURE)], {}, ImageError, "content is 0 x"),
        (PICTURE[0], [Style(PICTURE)], {}, ImageError, r"\[3, 32, 40\], expected floating point \[n, 3, H, W\]"),
        (PICTURE * torch.nan, [Style(PICTURE)], {}, ImageError, "NaN or infinite"),
        (PICTURE, [Style(PICTURE[..., :1])], {}, ImageError, "style 1 is 1 x 1x32 pixels"),
        (PICTURE, [Style(PICTURE)], {"scales": 3}, SettingsError, "scales is 3.* room for 2 at most"),
    ],
)
def test_a_call_refuses_what_does_not_fit(backbone, content, styles, settings, error, message):
    with pytest.raises(error, match=message) as caught:
        Gatys(Config(), backbone=backbone).stylize(content, styles, options=Options(**settings))
    assert "\n" not in str(caught.value)
    assert backbone.calls == 0


def test_init_must_fit(backbone):
    model = Gatys(Config(), backbone=backbone)
    with pytest.raises(SettingsError, match=r"init is .*expected the content's"):
        model.stylize(PICTURE, [Style(PICTURE)], init=PICTURE[..., :20])
    with pytest.raises(SettingsError, match="leave one out"):
        model.stylize(PICTURE, [Style(PICTURE)], init=PICTURE, options=Options(start="noise"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"style_layers": ("shalow",)}, "did you mean 'shallow'"),
        ({"style_layers": ("logits",)}, "a class head without positions"),
        ({"content_layers": ("deep", "deep")}, "a layer twice"),
        ({"style_layer_weights": (1, 2, 3)}, r"3 values for 2 layers \(shallow, deep\)"),
    ],
)
def test_a_backbone_must_have_the_layers(backbone, config, message):
    with pytest.raises(GanartError, match=message):
        Gatys(Config(**config), backbone=backbone)


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        (Config, {"style_layers": ()}),
        (Config, {"style_layer_weights": (0, 0)}),
        (Config, {"content_layer_weights": (2, -1)}),
        (Options, {"content_weight": 0, "style_weight": 0}),
        (Options, {"steps": 0}),
        (Options, {"alpha": 1.1}),
        (Options, {"preserve_colour": "yes"}),
        (Options, {"size": 512}),
    ],
)
def test_settings_out_of_range_are_refused(settings, values):
    with pytest.raises(ValidationError):
        settings(**values)


def test_every_setting_is_described():
    for settings in (Config, Options):
        for name, field in settings.model_fields.items():
            assert field.description, name
            assert field.description.endswith("."), name


def test_layer_weights_of_zero_drop_the_layer(backbone):
    model = Gatys(Config(style_layer_weights=(0, 2)), backbone=backbone)
    asked: set[str] = set()
    backbone.register_forward_pre_hook(lambda _, arguments: asked.update(arguments[1]))
    model.stylize(PICTURE, [Style(PICTURE)], options=Options(steps=1))
    assert asked == {"deep"}


def test_the_style_shrinks_to_the_photos_area_and_is_not_enlarged():
    full = Scale(300, 400, 1)
    assert style_size((600, 800), (300, 400), full, 1.0) == (300, 400)
    assert style_size((600, 800), (300, 400), full, 0.5) == (150, 200)
    assert style_size((100, 200), (300, 400), full, 1.0) == (100, 200)
    assert style_size((100, 200), (300, 400), full, 2.0) == (200, 400)
    assert style_size((100, 200), (300, 400), Scale(150, 200, 1), 1.0) == (50, 100)
    assert style_size((20, 4000), (64, 64), Scale(16, 16, 1), 1.0)[0] == 16


def test_the_declaration_has_no_problems():
    (spec,) = ganart_gatys.ganart_models()
    assert spec.problems() == []


def test_declaring_needs_neither_torch_nor_pydantic():
    code = "import sys, ganart_gatys as g; g.ganart_models(); print(*({'torch', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"
