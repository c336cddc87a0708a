"""SqueezeNet and the VGGs against plain functions written from the papers' tables, with torchvision-named weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from ganart_backbones import vgg
from ganart_backbones.config import Config, VggConfig
from ganart_backbones.photo import PhotoBackbone
from ganart_backbones.squeezenet import SqueezeNet
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

CATS = {281, 282, 285}  # tabby, tiger cat, Egyptian cat
State = Mapping[str, Tensor]
Load = Callable[[PhotoBackbone, Path], PhotoBackbone]
AssertSame = Callable[[dict[str, Tensor], dict[str, Tensor], float], None]


def _imagenet(images: Tensor) -> Tensor:
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=images.dtype)[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225], dtype=images.dtype)[:, None, None]
    return (images - mean) / std


def squeezenet_reference(state: State, images: Tensor) -> dict[str, Tensor]:
    def convolve(x: Tensor, name: str, **how: int) -> Tensor:
        return functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **how).relu()

    found = {"relu1": (x := convolve(_imagenet(images), "features.0", stride=2))}
    fires = iter(range(2, 10))
    for position in range(2, 13):
        if position in (2, 5, 8):
            x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
            found[f"pool{ {2: 1, 5: 3, 8: 5}[position] }"] = x
            continue
        squeezed = convolve(x, f"features.{position}.squeeze")
        ones = convolve(squeezed, f"features.{position}.expand1x1")
        threes = convolve(squeezed, f"features.{position}.expand3x3", padding=1)
        found[f"fire{next(fires)}"] = x = torch.cat([ones, threes], 1)
    found["logits"] = convolve(x, "classifier.1").mean((2, 3))
    return found


def vgg_reference(state: State, images: Tensor, blocks: tuple[int, ...], pool: str = "max") -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    x, position = _imagenet(images), 0
    for block, convolutions in enumerate(blocks, start=1):
        for index in range(1, convolutions + 1):
            name = f"features.{position}"
            x = functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
            found[f"conv{block}_{index}"] = x
            found[f"relu{block}_{index}"] = x = x.relu()
            position += 2
        found[f"pool{block}"] = x = {"max": functional.max_pool2d, "average": functional.avg_pool2d}[pool](x, 2)
        position += 1
    if "classifier.0.weight" in state:
        x = functional.adaptive_avg_pool2d(x, 7).flatten(1)
        for position in (0, 3):
            x = (x @ state[f"classifier.{position}.weight"].T + state[f"classifier.{position}.bias"]).relu()
        found["logits"] = x @ state["classifier.6.weight"].T + state["classifier.6.bias"]
    return found


def torchvision_state(model: PhotoBackbone) -> dict[str, Tensor]:
    """Random published weights of the right shapes, scaled to keep activations alive, biases not zero."""
    generator = torch.Generator().manual_seed(0)
    own = model.state_dict()
    state = {}
    for published, module in model.torchvision_modules().items():
        weight = torch.empty_like(own[f"{module}.weight"])
        state[f"{published}.weight"] = torch.nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
        state[f"{published}.bias"] = (
            torch.randn(own[f"{module}.bias"].shape, dtype=weight.dtype, generator=generator) / 10
        )
    return state


@pytest.mark.parametrize("size", [(64, 96), (33, 50), (17, 18)])
def test_squeezenet(load: Load, assert_same_layers: AssertSame, tmp_path: Path, size: tuple[int, int]) -> None:
    model = SqueezeNet(Config()).double()
    save_file(state := torchvision_state(model), tmp_path / "model.safetensors")
    load(model, tmp_path / "model.safetensors")
    images = torch.rand(2, 3, *size, dtype=torch.float64)
    assert_same_layers(model(images, list(model.layers)), squeezenet_reference(state, images), 1e-12)


@pytest.mark.parametrize("network", [vgg.VGG16, vgg.VGG19])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_vgg(
    load: Load,
    assert_same_layers: AssertSame,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    network: type[vgg._VGG],
    pooling: str,
) -> None:
    monkeypatch.setattr(vgg, "_CHANNELS", (4, 6, 8, 8, 10))  # the full network has half a gigabyte of weights
    monkeypatch.setattr(vgg, "_HIDDEN", 16)
    model = network(VggConfig(classifier=True, pooling=pooling)).double()
    torch.save(state := torchvision_state(model), tmp_path / "model.pth")
    load(model, tmp_path / "model.pth")
    images = torch.rand(2, 3, 40, 67, dtype=torch.float64)
    blocks = (2, 2, 3, 3, 3) if network is vgg.VGG16 else (2, 2, 4, 4, 4)
    assert_same_layers(model(images, list(model.layers)), vgg_reference(state, images, blocks, pooling), 1e-12)


def test_vgg16_features_of_half_precision_without_classifier(
    load: Load, assert_same_layers: AssertSame, shared_data: Path
) -> None:
    file = shared_data / "weights" / "vgg16_edge_finetuned_features_fp16.safetensors"
    model = load(vgg.VGG16(VggConfig()), file)
    state = {name: tensor.double() for name, tensor in load_file(file).items()}
    images = torch.rand(1, 3, 64, 48)
    expected = vgg_reference(state, images.double(), (2, 2, 3, 3, 3))
    assert_same_layers(model(images, list(model.layers)), expected, 2e-5)


def test_squeezenet_knows_the_photos(load: Load, shared_data: Path, photos: dict[str, Tensor]) -> None:
    model = load(SqueezeNet(Config()), shared_data / "weights" / "squeezenet1_1_imagenet_fp16.safetensors")
    cat = model(photos["chelsea"], ["logits"])["logits"][0]
    assert set(cat.topk(3).indices.tolist()) == CATS
    assert model(photos["coffee"], ["logits"])["logits"].argmax() == 967
