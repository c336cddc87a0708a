"""What a call does: descent, events, stopping, repeatability, colour, precision."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from ganart_gatys.config import Config, Options
from ganart_gatys.model import Gatys

from ganart_zoo.contract import ModelError, StepEvent, Style, generator
from ganart_zoo.imaging import rgb_to_yiq


def run(model, content, style, on_step=None, **options):
    """Stylize with few steps."""
    options = Options(**({"steps": 8, "scales": 1} | options))
    return model.stylize(content, [Style(style)], options=options, on_step=on_step)


@pytest.fixture
def model(backbone):
    return Gatys(Config(compute="float32"), backbone=backbone).requires_grad_(False)


@pytest.mark.parametrize("settings", [{}, {"scales": 2}, {"optimizer": "lbfgs"}, {"start": "noise"}])
def test_the_loss_falls(model, content, style, settings):
    totals: dict[str, list[float]] = {}

    def note(event):
        totals.setdefault(event.phase, []).append(event.losses["total"])

    run(model, content, style, note, steps=60, plateau=0, **settings)
    assert sum(map(len, totals.values())) == 60
    for scale in totals.values():
        assert scale[-1] < 0.8 * scale[0]


def test_alpha_zero_keeps_the_photo(model, content, style):
    result = run(model, content, style, alpha=0.0, tv_weight=0.0, optimizer="lbfgs")
    torch.testing.assert_close(result, content, rtol=0, atol=1e-5)


def test_events_report_each_step(model, content, style):
    events: list[tuple[StepEvent, torch.Tensor]] = []
    result = run(model, content, style, lambda event: events.append((event, event.preview())), steps=9, scales=2)
    assert [event.step for event, _ in events] == list(range(1, 10))
    assert {event.total for event, _ in events} == {9}
    assert [event.phase for event, _ in events] == ["24 px"] * 2 + ["48 px"] * 7
    for event, preview in events:
        assert set(event.losses) == {"total", "content", "style", "variation"}
        assert preview.shape == content.shape
        assert preview.min() >= 0
        assert preview.max() <= 1
    lowest = min(events[2:], key=lambda pair: pair[0].losses["total"])
    assert torch.equal(result.clamp(0, 1), lowest[1])


@pytest.mark.parametrize("stop_at", [1, 4, 7])
def test_false_stops_with_the_best_picture_so_far(model, content, style, stop_at):
    seen: list[tuple[float, torch.Tensor]] = []

    def stop(event):
        seen.append((event.losses["total"], event.preview()))
        return event.step < stop_at

    result = run(model, content, style, stop, steps=30)
    assert len(seen) == stop_at
    assert torch.equal(result.clamp(0, 1), min(seen, key=lambda pair: pair[0])[1])


def test_stopping_at_a_small_scale_gives_the_full_size(model, content, style):
    result = run(model, content, style, lambda _: False, scales=2)
    assert result.shape == content.shape


def test_stopping_leaves_later_rows_unchanged(model, content, style):
    pair = torch.cat([content, content.flip(-1)])
    result = run(model, pair, style, lambda event: event.step < 3)
    assert torch.equal(result[1], pair[1])
    assert not torch.equal(result[0], pair[0])


def test_only_false_stops(model, content, style):
    steps: list[int] = []
    run(model, content, style, lambda event: steps.append(event.step) or 0)
    assert len(steps) == 8


def test_exceptions_of_the_caller_propagate(model, content, style):
    def fail(_event):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(model, content, style, fail)


def test_a_plateau_ends_a_scale_early(model, content, style):
    steps: list[int] = []
    run(model, content, style, lambda event: steps.append(event.step), steps=100, plateau=0.9)
    assert len(steps) == 40


def test_the_same_call_gives_the_same_bits(model, content, style):
    assert torch.equal(run(model, content, style), run(model, content, style))


def test_a_seed_gives_the_same_noise(model, content, style):
    options = Options(steps=4, scales=2, start="noise")
    first, again, other = (
        model.stylize(content, [Style(style)], options=options, rng=generator(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_threads_share_a_model(model, content, style):
    pictures = [content, content.flip(-1), content.flip(-2)]
    alone = [run(model, picture, style) for picture in pictures]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(lambda picture: run(model, picture, style), pictures))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other)


def test_rows_are_painted_as_if_alone(model, content, style):
    pair = torch.cat([content, content.flip(-1)])
    phases: set[str] = set()
    result = run(model, pair, style, lambda event: phases.add(event.phase))
    assert torch.equal(result[1:], run(model, pair[1:], style))
    assert phases == {"picture 1, 48 px", "picture 2, 48 px"}


def test_init_is_where_the_picture_starts(model, content, style):
    previews: list[torch.Tensor] = []
    init = content.flip(-1)
    model.stylize(
        content,
        [Style(style)],
        init=init,
        options=Options(steps=1),
        on_step=lambda event: previews.append(event.preview()),
    )
    torch.testing.assert_close(previews[0], init)


@pytest.mark.parametrize("settings", [{}, {"shifts": 3}, {"shifts": 1}, {"optimizer": "lbfgs"}])
def test_targets_are_computed_once(model, content, style, settings):
    run(model, content, style, steps=40, plateau=0, **settings)
    shifts = 1 if "optimizer" in settings else settings.get("shifts", 16)
    assert model.backbone.calls == 40 + 1 + shifts  # steps, the style, the content at each shift


def test_betas_of_adam_are_options(model, content, style):
    def sizes(**settings):
        pictures = []
        run(model, content, style, lambda event: pictures.append(event.preview()), steps=3, plateau=0, **settings)
        return [pictures[1], pictures[2]]

    usual, short = sizes(beta1=0.9, beta2=0.999), sizes()
    torch.testing.assert_close(usual[0], short[0], rtol=0, atol=1e-4)  # Adam's first step does not depend on them
    assert not torch.allclose(usual[1], short[1], rtol=0, atol=1e-3)


def test_trainable_backbones_get_no_gradient_and_inputs_stay(backbone, content, style):
    model = Gatys(Config(compute="float32"), backbone=backbone)
    backbone.requires_grad_(True)
    nn_parameters = list(backbone.parameters())
    for parameter in nn_parameters:
        parameter.requires_grad = True
    before = [tensor.clone() for tensor in (content, style, *nn_parameters)]
    run(model, content, style)
    assert all(parameter.grad is None for parameter in nn_parameters)
    assert all(torch.equal(was, now) for was, now in zip(before, (content, style, *nn_parameters), strict=True))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(model, content, style, mode):
    expected = run(model, content, style)
    with mode():
        result = run(model, content.clone(), style.clone())
    assert torch.equal(result, expected)
    assert not result.requires_grad


def test_luminance_keeps_the_colours_of_the_photo(model, content, style):
    result = run(model, content, style, preserve_colour="luminance", steps=20)
    torch.testing.assert_close(rgb_to_yiq(result)[:, 1:], rgb_to_yiq(content)[:, 1:], rtol=0, atol=1e-5)
    assert (rgb_to_yiq(result)[:, 0] - rgb_to_yiq(content)[:, 0]).abs().mean() > 0.01


@pytest.mark.parametrize("how", ["covariance", "histogram"])
def test_recoloured_styles_keep_the_mean_colour_nearer(model, style, how):
    content = torch.rand(1, 3, 32, 32, generator=generator(0)) * torch.tensor([0.2, 0.3, 0.9]).view(1, 3, 1, 1)
    style = style * torch.tensor([0.9, 0.4, 0.1]).view(1, 3, 1, 1)

    def drift(result):
        return (result - content).mean((0, 2, 3)).abs().sum()

    settings = {"steps": 60, "content_weight": 0.0, "learning_rate": 0.03}
    kept = run(model, content, style, preserve_colour=how, **settings)
    assert drift(kept) < 0.5 * drift(run(model, content, style, **settings))


def test_bfloat16_computes_near_float32_and_returns_float32(backbone, content, style):
    full = run(Gatys(Config(compute="float32"), backbone=backbone), content, style)
    half = run(Gatys(Config(compute="bfloat16"), backbone=backbone), content, style)
    assert half.dtype == torch.float32
    assert 0 < (full - half).abs().max() < 0.1
    assert backbone.shallow.weight.dtype == torch.float32


def test_a_float64_model_paints_in_float64(backbone, content, style):
    result = run(Gatys(Config(), backbone=backbone.double()), content.double(), style.double())
    assert result.dtype == torch.float64
    single = run(Gatys(Config(compute="float32"), backbone=backbone.float()), content, style)
    torch.testing.assert_close(result.float(), single, rtol=0, atol=1e-3)  # Adam magnifies small gradients' rounding


def test_a_loss_that_explodes_says_what_to_do(model, content, style):
    with pytest.raises(ModelError, match=r"the loss became (nan|inf) at step \d+; lower learning_rate"):
        run(model, content, style, steps=200, optimizer="lbfgs", learning_rate=10.0, content_weight=1e6, plateau=0.0)
