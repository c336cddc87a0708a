"""The loss against a float64 NumPy computation of the documented formula, and the formula against the paper's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ganart_gatys.config import Options
from ganart_gatys.losses import ContentTarget, StyleTarget, range_penalty, style_term, total_variation
from ganart_gatys.objective import LayerWeights, Objective, Painting
from ganart_gatys.regions import Group
from ganart_gatys.shifts import SHIFTS, UNSHIFTED, with_margin
from numpy.lib.stride_tricks import sliding_window_view

from ganart_zoo import ops

LAYERS = LayerWeights(style={"shallow": 0.25, "deep": 0.75}, content={"deep": 1.0})


def numpy_features(backbone, picture: np.ndarray) -> dict[str, np.ndarray]:
    """The tiny backbone by its definition: `[c, H, W]` in, `{name: [C, h, w]}` out."""

    def convolve(values, layer):
        windows = sliding_window_view(np.pad(values, ((0, 0), (1, 1), (1, 1))), (3, 3), axis=(1, 2))
        weight, bias = (p.detach().numpy().astype(np.float64) for p in (layer.weight, layer.bias))
        full = np.einsum("chwij,dcij->dhw", windows, weight) + bias[:, None, None]
        return np.maximum(full[:, :: layer.stride[0], :: layer.stride[1]], 0)

    shallow = convolve(picture, backbone.shallow)
    return {"shallow": shallow, "deep": convolve(shallow, backbone.deep)}


def numpy_margin(picture: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    (down, across), margin, most = shift, 8, 15
    widths = ((0, 0), (margin + down, margin + most - down), (margin + across, margin + most - across))
    return np.pad(picture, widths, mode="reflect")


def numpy_gram(features: np.ndarray) -> np.ndarray:
    rows = features.reshape(len(features), -1)
    return rows @ rows.T / features.size


def numpy_loss(backbone, picture, content, style, options: Options, shift: tuple[int, int]) -> dict[str, float]:
    """The documented formula for one style without regions."""
    seen = numpy_features(backbone, numpy_margin(picture, shift))
    wanted = numpy_features(backbone, numpy_margin(content, shift))["deep"]
    content_loss = np.mean((seen["deep"] - wanted) ** 2) / np.mean(wanted**2)
    painted = numpy_features(backbone, numpy_margin(style, UNSHIFTED))
    own = numpy_features(backbone, numpy_margin(content, UNSHIFTED))
    style_loss = 0.0
    for name, weight in LAYERS.style.items():
        target = options.alpha * numpy_gram(painted[name]) + (1 - options.alpha) * numpy_gram(own[name])
        style_loss += weight * np.mean((numpy_gram(seen[name]) - target) ** 2) / np.mean(target**2)
    variation = np.mean(np.diff(picture, axis=1) ** 2) + np.mean(np.diff(picture, axis=2) ** 2)
    outside = np.mean(np.maximum(-picture, 0) ** 2 + np.maximum(picture - 1, 0) ** 2)
    total = options.content_weight * content_loss + options.style_weight * style_loss
    total += options.tv_weight * variation + 10 * outside
    return {"total": total, "content": content_loss, "style": style_loss, "variation": variation}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
@pytest.mark.parametrize("shift", SHIFTS[:3])
def test_losses_equal_the_documented_formula(backbone, content, style, dtype, tolerance, shift):
    picture = content.flip(-1) * 1.3 - 0.1  # partly outside 0..1
    options = Options(content_weight=0.7, style_weight=1.9, tv_weight=0.3, alpha=0.8)
    arrays = [tensor[0].numpy().astype(np.float64) for tensor in (picture, content, style)]
    expected = numpy_loss(backbone, *arrays, options, shift)
    group = Group(region=None, share=1.0, members=((0, 1.0),))
    objective = Objective(
        backbone.to(dtype), LAYERS, content.to(dtype), [Painting(style.to(dtype), None)], [group], options
    )
    losses = objective(picture.to(dtype), shift)._asdict()
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(expected, rel=tolerance)
    assert losses["total"].dtype == dtype


def test_style_term_is_the_papers_times_four_over_channels_squared():
    channels, positions = 5, 7 * 9
    features, target = torch.rand(2, 1, channels, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gram, target_gram = (torch.einsum("ip,jp->ij", f, f) for f in (features.flatten(2)[0], target.flatten(2)[0]))
    paper = ((gram - target_gram) ** 2).sum() / (4 * channels**2 * positions**2)
    goal = StyleTarget(ops.gram_matrix(target))
    found = style_term([goal], [features], [1.0]) * goal.gram.square().mean()
    assert found.item() == pytest.approx(4 / channels**2 * paper.item(), rel=1e-12)


def test_content_term_is_twice_the_papers_per_value():
    features, target = torch.rand(2, 1, 5, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    paper = ((features - target) ** 2).sum() / 2
    loss = ContentTarget(target).loss(features) * target.square().mean()
    assert loss.item() == pytest.approx(2 / features.numel() * paper.item(), rel=1e-12)


def test_a_dead_layer_gives_finite_losses():
    features = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    assert 0 < ContentTarget(torch.zeros_like(features)).loss(features) < torch.inf
    assert 0 < style_term([StyleTarget(torch.zeros(1, 3, 3))], [features], [1.0]) < torch.inf


def test_losses_of_bfloat16_features_are_float32():
    features = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(2)).bfloat16()
    assert ContentTarget(features + 1).loss(features).dtype == torch.float32
    goal = StyleTarget(ops.gram_matrix(features + 1))
    assert style_term([goal], [features], [1.0]).dtype == torch.float32


def test_penalties_of_known_pictures():
    steps = torch.tensor([0.0, 1.0, 1.0, 3.0]).expand(1, 3, 2, 4)
    assert total_variation(steps).item() == pytest.approx((1 + 0 + 4) / 3)
    assert range_penalty(torch.tensor([-0.5, 0.0, 0.3, 1.0, 1.25])).item() == pytest.approx((0.25 + 0.0625) / 5)


def test_weights_of_zero_skip_their_work(backbone, content, style):
    asked: list[tuple[str, ...]] = []
    backbone.register_forward_pre_hook(lambda _, arguments: asked.append(arguments[1]))
    group = Group(region=None, share=1.0, members=((0, 1.0),))
    arguments = (backbone, LAYERS, content, [Painting(style, None)], [group])
    Objective(*arguments, Options(style_weight=0))(content)
    assert asked == [("deep",), ("deep",)]
    asked.clear()
    Objective(*arguments, Options(content_weight=0))(content)
    assert asked == [("shallow", "deep"), ("shallow", "deep")]


@pytest.mark.parametrize(("size", "margin"), [((16, 16), 0), ((20, 40), 4), ((30, 300), 8)])
def test_the_margin_fits_small_pictures(size, margin):
    picture = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))
    for shift in SHIFTS:
        seen = with_margin(picture, shift)
        assert seen.shape[-2:] == (size[0] + 2 * margin + 15, size[1] + 2 * margin + 15)
        top, left = margin + shift.down, margin + shift.across
        assert torch.equal(seen[..., top : top + size[0], left : left + size[1]], picture)


def test_shifts_meet_each_row_and_column_once():
    assert sorted(shift.down for shift in SHIFTS) == sorted(shift.across for shift in SHIFTS) == list(range(16))
