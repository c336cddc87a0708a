"""EfficientNet-Lite0 against a plain function written from the paper, and against photos of known things."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from ganart_backbones.config import Config
from ganart_backbones.efficientnet import EfficientNetLite0
from ganart_backbones.photo import PhotoBackbone
from torch import Tensor
from torch.nn import functional

CATS = {281, 282, 285}  # tabby, tiger cat, Egyptian cat
COFFEE = {504, 967, 968}  # coffee mug, espresso, cup
State = Mapping[str, Tensor]
Load = Callable[[PhotoBackbone, Path], PhotoBackbone]
AssertSame = Callable[[dict[str, Tensor], dict[str, Tensor], float], None]


def _pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad as TensorFlow's documentation of "SAME" says."""
    pads: list[int] = []
    for side in reversed(x.shape[2:]):
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)


def reference(state: State, images: Tensor) -> dict[str, Tensor]:
    """Every layer for pictures in 0..1, by the published weights with their batch norms."""

    def convolve(x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        weight = state[f"{conv}.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = functional.conv2d(_pad_same(x, weight.shape[-1], stride), weight, stride=stride, groups=groups)
        mean, variance, gain, bias = (
            state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, variance, gain, bias, eps=1e-3)

    found: dict[str, Tensor] = {}
    x = convolve((images * 255 - 127) / 128, "_conv_stem", "_bn0", stride=2).clamp(0, 6)
    found["stem"] = x
    first_of_stage = {1: 2, 3: 2, 5: 2, 11: 2}  # block: stride
    for index in range(16):
        name, before = f"_blocks.{index}", x
        if index:  # the first block does not widen
            x = convolve(x, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
        x = convolve(x, f"{name}._depthwise_conv", f"{name}._bn1", first_of_stage.get(index, 1)).clamp(0, 6)
        x = convolve(x, f"{name}._project_conv", f"{name}._bn2")
        if x.shape == before.shape and index not in first_of_stage:
            x = x + before
        found[f"block{index}"] = x
    found["head"] = x = convolve(x, "_conv_head", "_bn1").clamp(0, 6)
    found["logits"] = x.mean((2, 3)) @ state["_fc.weight"].T + state["_fc.bias"]
    return found


@pytest.mark.parametrize("size", [(64, 96), (33, 50), (1, 1), (2, 7)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_every_layer_equals_the_reference(
    load: Load,
    assert_same_layers: AssertSame,
    efficientnet_file: Path,
    size: tuple[int, int],
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    state = torch.load(efficientnet_file, weights_only=True)
    state = {name: tensor.double() for name, tensor in state.items()}
    images = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    model = load(EfficientNetLite0(Config()).to(dtype), efficientnet_file)
    with torch.no_grad():
        expected = reference(state, images)
        assert_same_layers(model(images.to(dtype), list(model.layers)), expected, tolerance)


def test_knows_the_photos(load: Load, efficientnet_file: Path, photos: dict[str, Tensor]) -> None:
    model = load(EfficientNetLite0(Config()), efficientnet_file)
    cat = model(photos["chelsea"], ["logits"])["logits"].softmax(1)[0]
    coffee = model(photos["coffee"], ["logits"])["logits"].softmax(1)[0]
    assert set(cat.topk(3).indices.tolist()) == CATS
    assert cat[list(CATS)].sum() > 0.8
    assert coffee.argmax() == 967
    assert coffee[list(COFFEE)].sum() > 0.9


def test_knows_them_in_bfloat16_and_channels_last(
    load: Load, efficientnet_file: Path, photos: dict[str, Tensor]
) -> None:
    model = load(EfficientNetLite0(Config()), efficientnet_file)
    model.to(torch.bfloat16, memory_format=torch.channels_last)
    logits = {name: model(photo, ["logits"])["logits"][0] for name, photo in photos.items()}
    assert int(logits["chelsea"].argmax()) in CATS
    assert int(logits["coffee"].argmax()) == 967
