"""The loss against a float64 NumPy computation of the documented formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ganart_gatys.config import Options
from ganart_gatys.objective import LayerWeights, Objective, Painting
from numpy.lib.stride_tricks import sliding_window_view

from ganart_zoo.perceptual import SHIFTS, UNSHIFTED, StyleGroup

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
    return {"total": total, "content": content_loss, "style": style_loss, "variation": variation, "temporal": 0.0}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
@pytest.mark.parametrize("shift", SHIFTS[:3])
def test_losses_equal_the_documented_formula(backbone, content, style, dtype, tolerance, shift):
    picture = content.flip(-1) * 1.3 - 0.1  # partly outside 0..1
    options = Options(content_weight=0.7, style_weight=1.9, tv_weight=0.3, alpha=0.8)
    arrays = [tensor[0].numpy().astype(np.float64) for tensor in (picture, content, style)]
    expected = numpy_loss(backbone, *arrays, options, shift)
    group = StyleGroup(region=None, share=1.0, members=((0, 1.0),))
    objective = Objective(
        backbone.to(dtype), LAYERS, content.to(dtype), [Painting(style.to(dtype), None)], [group], options
    )
    losses = objective(picture.to(dtype), shift)._asdict()
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(expected, rel=tolerance)
    assert losses["total"].dtype == dtype


def test_weights_of_zero_skip_their_work(backbone, content, style):
    asked: list[tuple[str, ...]] = []
    backbone.register_forward_pre_hook(lambda _, arguments: asked.append(arguments[1]))
    group = StyleGroup(region=None, share=1.0, members=((0, 1.0),))
    arguments = (backbone, LAYERS, content, [Painting(style, None)], [group])
    Objective(*arguments, Options(style_weight=0))(content)
    assert asked == [("deep",), ("deep",)]
    asked.clear()
    Objective(*arguments, Options(content_weight=0))(content)
    assert asked == [("shallow", "deep"), ("shallow", "deep")]
