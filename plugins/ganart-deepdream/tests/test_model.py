"""What a dream raises, how it follows a guide, and that it is repeatable, stoppable and in range."""

from __future__ import annotations

import subprocess
import sys

import ganart_deepdream
import pytest
import torch
from ganart_deepdream.config import Config, Options
from ganart_deepdream.model import DeepDream
from pydantic import ValidationError
from torch import Tensor

from ganart_zoo.contract import ImageError, SettingsError, StepEvent, Style, generator

PICTURE = torch.full((1, 3, 32, 40), 0.5)
REGION = torch.ones(1, 1, 32, 40)


@pytest.fixture
def model(backbone) -> DeepDream:
    return DeepDream(Config(compute="float32"), backbone=backbone)


def dream(model: DeepDream, content: Tensor, guides: tuple[Style, ...] = (), on_step=None, rng=None, **options):
    return model.stylize(
        content, guides, options=Options(**({"steps": 12, "octaves": 1} | options)), on_step=on_step, rng=rng
    )


def energy(model: DeepDream, picture: Tensor, layer: str = "deep") -> Tensor:
    return model.backbone(picture, [layer])[layer].square().mean(dim=(1, 2, 3))


@pytest.mark.parametrize(
    "settings", [{}, {"octaves": 2}, {"smoothing": "off"}, {"smoothing": "gaussian"}, {"jitter": 0}]
)
def test_a_dream_raises_the_energy_of_its_layer(model, content, settings):
    pair = torch.cat([content, content.flip(-1)])
    before, after = energy(model, pair), energy(model, dream(model, pair, **settings))
    assert (after > 1.1 * before).all()


def test_channels_and_classes_rise_and_others_need_not(model, content):
    for options, layer, number in (({"channels": (4,)}, "deep", 4), ({"classes": (2,)}, "logits", 2)):
        before, after = (
            model.backbone(picture, [layer])[layer][0, number].mean()
            for picture in (content, dream(model, content, **options))
        )
        assert after > before


def test_a_guide_draws_features_to_its_own(model, content):
    """The guide's agreement, by its definition, rises more than without it."""
    guide = torch.rand(1, 3, 24, 24, generator=generator(5)) * torch.tensor([1.0, 0.1, 0.1]).view(1, 3, 1, 1)
    wanted = model.backbone(guide, ["deep"])["deep"].flatten(2)[0]

    def agreement(picture: Tensor) -> float:
        seen = model.backbone(picture, ["deep"])["deep"].flatten(2)[0]
        return float((wanted.T @ seen).max(dim=0).values.mean())

    guided = dream(model, content, (Style(guide),))
    assert agreement(guided) > 1.1 * agreement(content)
    assert not torch.equal(guided, dream(model, content))


def test_the_seed_decides_and_rows_are_as_if_alone(model, content):
    pair = torch.cat([content, content.flip(-1)])
    both = dream(model, pair, rng=generator(3))
    assert torch.equal(both[:1], dream(model, content, rng=generator(3)))
    assert not torch.equal(both[:1], dream(model, content, rng=generator(4)))
    assert torch.equal(dream(model, content), dream(model, content))


def test_values_stay_in_range_and_the_content_keeps_its_size(model, content):
    result = dream(model, content, step_size=0.5, octaves=2)
    assert result.shape == content.shape
    assert result.min() >= 0
    assert result.max() <= 1


def test_a_gradient_is_local(model, content):
    """Without jitter and smoothing, a change in one corner leaves the direction of the first step far away."""
    settings = {"steps": 2, "jitter": 0, "smoothing": "off"}
    changed = content.clone()
    changed[..., :4, :4] = 0.5
    steps = [(dream(model, picture, **settings) - picture)[..., 20:, 20:] for picture in (content, changed)]
    torch.testing.assert_close(steps[0] / steps[0].abs().mean(), steps[1] / steps[1].abs().mean(), rtol=0, atol=1e-2)


@pytest.mark.parametrize("stop_at", [1, 5])
def test_false_stops_with_the_best_so_far(model, content, stop_at):
    seen: list[tuple[float, Tensor]] = []

    def stop(event: StepEvent) -> bool:
        seen.append((event.losses["activation"], event.preview()))
        return event.step < stop_at

    result = dream(model, content, on_step=stop, jitter=0)
    assert len(seen) == stop_at
    torch.testing.assert_close(result, max(seen, key=lambda pair: pair[0])[1])


def test_stopping_in_a_small_octave_keeps_the_photo_sharp(model, content):
    result = dream(model, content, octaves=2, on_step=lambda _: False)
    torch.testing.assert_close(result, content, rtol=0, atol=1e-5)


def test_events_count_over_octaves(model, content):
    events: list[StepEvent] = []
    dream(model, content, on_step=events.append, steps=5, octaves=2)
    assert [event.step for event in events] == [1, 2, 3, 4, 5]
    assert [event.phase for event in events] == ["34 px"] * 3 + ["48 px"] * 2
    assert all(set(event.losses) == {"activation"} for event in events)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(model, content, mode):
    expected = dream(model, content)
    with mode():
        assert torch.equal(dream(model, content.clone()), expected)


@pytest.mark.parametrize(
    ("content", "guides", "options", "error", "message"),
    [
        (PICTURE[..., :3, :], (), {}, ImageError, "content is 1 x 40x3 pixels"),
        (PICTURE * torch.nan, (), {}, ImageError, "NaN or infinite"),
        (PICTURE, (), {"layers": ("dep",)}, SettingsError, "did you mean 'deep'"),
        (PICTURE, (), {"channels": (6,)}, SettingsError, "has no channel 6; it has 6"),
        (PICTURE, (), {"layers": ("shallow", "deep"), "channels": (0,)}, SettingsError, "channels belong to one layer"),
        (PICTURE, (), {"classes": (3,)}, SettingsError, "has no class 3; it has 3"),
        (PICTURE, (Style(PICTURE),), {"classes": (1,)}, SettingsError, "classes and a guide picture"),
        (PICTURE, (Style(PICTURE),), {"channels": (1,)}, SettingsError, "channels and a guide picture"),
        (PICTURE, (Style(PICTURE),), {"layers": ("logits",)}, SettingsError, "layers with positions"),
        (PICTURE, (Style(PICTURE, region=REGION),), {}, SettingsError, "guide 1 has a region"),
        (PICTURE, (Style(torch.cat([PICTURE] * 2)),), {}, SettingsError, "guide 1 holds 2 pictures"),
        (PICTURE, (), {"octaves": 9}, SettingsError, "octaves is 9"),
    ],
)
def test_a_call_refuses_what_does_not_fit(model, content, guides, options, error, message):
    with pytest.raises(error, match=message) as caught:
        model.stylize(content, guides, options=Options(**options))
    assert "\n" not in str(caught.value)


def test_classes_need_a_class_head(backbone, content):
    del backbone.layers["logits"]
    with pytest.raises(SettingsError, match="has no class head"):
        dream(DeepDream(Config(), backbone=backbone), content, classes=(1,))


@pytest.mark.parametrize(
    "values",
    [{"steps": 0}, {"layers": ()}, {"channels": (-1,)}, {"classes": (1,), "layers": ("deep",)}, {"step_size": 0}],
)
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(ValidationError):
        Options(**values)


def test_declaring_needs_neither_torch_nor_pydantic():
    (spec,) = ganart_deepdream.ganart_models()
    assert spec.problems() == []
    code = "import sys, ganart_deepdream as g; g.ganart_models(); print(*({'torch', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"


@pytest.mark.parametrize(
    ("choice", "guided"),
    [
        ({"layers": ("shallow", "deep")}, False),
        ({"layers": ("shallow", "deep")}, True),
        ({"layers": ("deep",), "channels": (1, 4)}, False),
    ],
)
def test_dreams_in_tiles_are_the_same(backbone, guided: bool, choice) -> None:
    torch.manual_seed(0)
    photo = torch.rand(1, 3, 90, 131, dtype=torch.float64)
    guides = [Style(image=torch.rand(1, 3, 70, 40, dtype=torch.float64))] if guided else []
    model = DeepDream(Config(), backbone=backbone.double())
    whole, tiled = (
        model.stylize(photo, guides, options=Options(**choice, steps=10, octaves=2, tile=tile)) for tile in (None, 64)
    )
    assert (whole - tiled).abs().max() < 1e-10
    assert not torch.equal(whole, photo)


def test_a_class_head_cannot_be_tiled(model: DeepDream) -> None:
    with pytest.raises(SettingsError, match="'logits' of TinyBackbone depends on the whole picture"):
        model.stylize(torch.rand(1, 3, 90, 131), [], options=Options(classes=(1,), tile=64))
