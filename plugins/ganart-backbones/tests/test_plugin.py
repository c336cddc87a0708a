"""What the plugin declares, and how its weights load or are refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import ganart_backbones
import pytest
import torch
from ganart_backbones import vgg
from ganart_backbones.config import Config, VggConfig
from ganart_backbones.efficientnet import EfficientNetLite0
from ganart_backbones.squeezenet import SqueezeNet
from safetensors.torch import save_file

from ganart_zoo import Zoo
from ganart_zoo.contract import ModelError

CPU = torch.device("cpu")
SPECS = {spec.name: spec for spec in ganart_backbones.ganart_models()}


def load(model: torch.nn.Module, *files: Path) -> None:
    model.load_weights({file.stem: file for file in files}, device=CPU, dtype=torch.float32)


@pytest.mark.parametrize("name", SPECS)
def test_specs_have_no_problems(name: str) -> None:
    assert SPECS[name].problems() == []


def test_declaring_imports_neither_torch_nor_pydantic() -> None:
    code = "import sys, ganart_backbones as b; b.ganart_models(); print({'torch', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_carried_weights_are_those_declared(efficientnet_file: Path) -> None:
    (file,) = SPECS["efficientnet_lite0"].weights[0].files
    content = efficientnet_file.read_bytes()
    assert len(content) == file.size
    assert hashlib.sha256(content).hexdigest() == file.sha256


@pytest.mark.parametrize("name", ["squeezenet1_1", "vgg16", "vgg19"])
def test_hashes_begin_as_the_published_file_names_end(name: str) -> None:
    (file,) = SPECS[name].weights[0].files
    (url,) = file.urls
    assert file.sha256 is not None
    assert url.endswith(f"{name}-{file.sha256[:8]}.pth")


def test_the_zoo_creates_the_default_ready_to_use() -> None:
    model = Zoo(strict=True).create("ganart-backbones/efficientnet_lite0")
    assert isinstance(model, EfficientNetLite0)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_published_names_are_exactly_the_carried_ones(efficientnet_file: Path) -> None:
    required, optional = EfficientNetLite0(Config()).published_names()
    assert required | optional == torch.load(efficientnet_file, weights_only=True).keys()


def test_own_state_saved_loads_again(tmp_path: Path, efficientnet_file: Path) -> None:
    first, second = EfficientNetLite0(Config()), EfficientNetLite0(Config())
    load(first, efficientnet_file)
    save_file(first.own_state(), tmp_path / "folded.safetensors")
    load(second, tmp_path / "folded.safetensors")
    assert all(torch.equal(second.own_state()[name], tensor) for name, tensor in first.own_state().items())


def test_without_classifier_a_file_with_one_loads(efficientnet_file: Path) -> None:
    model = EfficientNetLite0(Config(classifier=False))
    load(model, efficientnet_file)
    assert "logits" not in model.layers
    whole = EfficientNetLite0(Config())
    load(whole, efficientnet_file)
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(model(images, ["head"])["head"], whole(images, ["head"])["head"])


@pytest.fixture
def squeezenet_state() -> dict[str, torch.Tensor]:
    model = SqueezeNet(Config())
    own = model.own_state()
    modules = model.torchvision_modules().items()
    return {f"{theirs}.{part}": own[f"{ours}.{part}"] for theirs, ours in modules for part in ("weight", "bias")}


def test_a_missing_head_is_refused_with_the_way_out(tmp_path: Path, squeezenet_state: dict[str, torch.Tensor]) -> None:
    features = {name: tensor for name, tensor in squeezenet_state.items() if name.startswith("features.")}
    save_file(features, file := tmp_path / "features.safetensors")
    with pytest.raises(ModelError, match=r"missing 'classifier.1.bias'.*load with classifier=False"):
        load(SqueezeNet(Config()), file)
    load(SqueezeNet(Config(classifier=False)), file)


def test_missing_and_unexpected_tensors_are_named(tmp_path: Path, squeezenet_state: dict[str, torch.Tensor]) -> None:
    squeezenet_state["features.99.weight"] = squeezenet_state.pop("features.3.squeeze.weight")
    save_file(squeezenet_state, file := tmp_path / "odd.safetensors")
    for config in (Config(), Config(classifier=False)):
        with pytest.raises(ModelError) as caught:
            load(SqueezeNet(config), file)
        assert "missing 'features.3.squeeze.weight', unexpected 'features.99.weight'" in str(caught.value)
        assert "classifier=False" not in str(caught.value)


def test_another_networks_weights_leave_the_model_as_it_was(tmp_path: Path, efficientnet_file: Path) -> None:
    model = SqueezeNet(Config())
    before = {name: tensor.clone() for name, tensor in model.own_state().items()}
    with pytest.raises(ModelError, match=r"does not fit SqueezeNet: missing 'classifier\.1\.bias'"):
        load(model, efficientnet_file)
    assert all(torch.equal(model.own_state()[name], tensor) for name, tensor in before.items())


def test_wrong_shapes_are_refused(tmp_path: Path, squeezenet_state: dict[str, torch.Tensor]) -> None:
    squeezenet_state["features.0.weight"] = torch.zeros(64, 3, 7, 7)
    save_file(squeezenet_state, file := tmp_path / "wide.safetensors")
    with pytest.raises(ModelError, match=r"\[64, 3, 7, 7\], expected \[64, 3, 3, 3\]"):
        load(SqueezeNet(Config()), file)


def test_two_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="takes one weights file, got 2: a, b"):
        load(vgg.VGG16(VggConfig()), tmp_path / "a.pth", tmp_path / "b.pth")
