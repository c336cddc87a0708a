"""Inception v3 and its variant for FID, against plain functions written from the paper and the release of 2015."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ganart_backbones
import pytest
import torch
from ganart_backbones.config import Config
from ganart_backbones.inception import FidInception, InceptionV3
from ganart_backbones.photo import PhotoBackbone
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError, ModelError

VARIANTS = [(InceptionV3, False), (FidInception, True)]
PARAMETERS = 23_834_568
"""torchvision's, without the auxiliary classifier."""


class Reference:
    """The network as a function of published tensors, which are drawn as they are asked for, by name."""

    def __init__(self, fid: bool) -> None:
        self.fid = fid
        self.state: dict[str, Tensor] = {}
        self._rng = torch.Generator().manual_seed(5)

    def _tensor(self, name: str, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        if name not in self.state:
            self.state[name] = torch.rand(shape, generator=self._rng, dtype=torch.float64) * (high - low) + low
        return self.state[name]

    def convolve(self, x: Tensor, name: str, outputs: int, kernel=1, stride: int = 1, padding=0) -> Tensor:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        bound = (6 / (x.shape[1] * height * width)) ** 0.5
        weight = self._tensor(f"{name}.conv.weight", (outputs, x.shape[1], height, width), -bound, bound)
        mean = self._tensor(f"{name}.bn.running_mean", (outputs,), -0.1, 0.1)
        variance = self._tensor(f"{name}.bn.running_var", (outputs,), 0.5, 1.5)
        gain = self._tensor(f"{name}.bn.weight", (outputs,), 0.8, 1.2)
        bias = self._tensor(f"{name}.bn.bias", (outputs,), -0.1, 0.1)
        x = functional.conv2d(x, weight, None, stride, padding)
        return functional.batch_norm(x, mean, variance, gain, bias, eps=0.001).relu()

    def mean3(self, x: Tensor) -> Tensor:
        summed = functional.avg_pool2d(x, 3, 1, 1, divisor_override=1)
        if not self.fid:
            return summed / 9  # the zeros of the border count
        return summed / functional.avg_pool2d(torch.ones_like(x), 3, 1, 1, divisor_override=1)

    def block_a(self, x: Tensor, name: str, pooled: int) -> Tensor:
        one = self.convolve(x, f"{name}.branch1x1", 64)
        five = self.convolve(self.convolve(x, f"{name}.branch5x5_1", 48), f"{name}.branch5x5_2", 64, 5, 1, 2)
        three = self.convolve(x, f"{name}.branch3x3dbl_1", 64)
        three = self.convolve(three, f"{name}.branch3x3dbl_2", 96, 3, 1, 1)
        three = self.convolve(three, f"{name}.branch3x3dbl_3", 96, 3, 1, 1)
        return torch.cat([one, five, three, self.convolve(self.mean3(x), f"{name}.branch_pool", pooled)], 1)

    def block_b(self, x: Tensor, name: str) -> Tensor:
        single = self.convolve(x, f"{name}.branch3x3", 384, 3, 2)
        double = self.convolve(x, f"{name}.branch3x3dbl_1", 64)
        double = self.convolve(double, f"{name}.branch3x3dbl_2", 96, 3, 1, 1)
        double = self.convolve(double, f"{name}.branch3x3dbl_3", 96, 3, 2)
        return torch.cat([single, double, functional.max_pool2d(x, 3, 2)], 1)

    def block_c(self, x: Tensor, name: str, width: int) -> Tensor:
        wide, high = {"kernel": (1, 7), "padding": (0, 3)}, {"kernel": (7, 1), "padding": (3, 0)}
        one = self.convolve(x, f"{name}.branch1x1", 192)
        seven = self.convolve(x, f"{name}.branch7x7_1", width)
        seven = self.convolve(seven, f"{name}.branch7x7_2", width, **wide)
        seven = self.convolve(seven, f"{name}.branch7x7_3", 192, **high)
        double = self.convolve(x, f"{name}.branch7x7dbl_1", width)
        double = self.convolve(double, f"{name}.branch7x7dbl_2", width, **high)
        double = self.convolve(double, f"{name}.branch7x7dbl_3", width, **wide)
        double = self.convolve(double, f"{name}.branch7x7dbl_4", width, **high)
        double = self.convolve(double, f"{name}.branch7x7dbl_5", 192, **wide)
        return torch.cat([one, seven, double, self.convolve(self.mean3(x), f"{name}.branch_pool", 192)], 1)

    def block_d(self, x: Tensor, name: str) -> Tensor:
        three = self.convolve(self.convolve(x, f"{name}.branch3x3_1", 192), f"{name}.branch3x3_2", 320, 3, 2)
        seven = self.convolve(x, f"{name}.branch7x7x3_1", 192)
        seven = self.convolve(seven, f"{name}.branch7x7x3_2", 192, (1, 7), 1, (0, 3))
        seven = self.convolve(seven, f"{name}.branch7x7x3_3", 192, (7, 1), 1, (3, 0))
        seven = self.convolve(seven, f"{name}.branch7x7x3_4", 192, 3, 2)
        return torch.cat([three, seven, functional.max_pool2d(x, 3, 2)], 1)

    def block_e(self, x: Tensor, name: str, last: bool) -> Tensor:
        one = self.convolve(x, f"{name}.branch1x1", 320)
        three = self.convolve(x, f"{name}.branch3x3_1", 384)
        wide = self.convolve(three, f"{name}.branch3x3_2a", 384, (1, 3), 1, (0, 1))
        high = self.convolve(three, f"{name}.branch3x3_2b", 384, (3, 1), 1, (1, 0))
        double = self.convolve(self.convolve(x, f"{name}.branch3x3dbl_1", 448), f"{name}.branch3x3dbl_2", 384, 3, 1, 1)
        further = self.convolve(double, f"{name}.branch3x3dbl_3a", 384, (1, 3), 1, (0, 1))
        upper = self.convolve(double, f"{name}.branch3x3dbl_3b", 384, (3, 1), 1, (1, 0))
        pooled = functional.max_pool2d(x, 3, 1, 1) if last and self.fid else self.mean3(x)
        pooled = self.convolve(pooled, f"{name}.branch_pool", 192)
        return torch.cat([one, wide, high, further, upper, pooled], 1)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        found = {"conv1a": (x := self.convolve(images * 2 - 1, "Conv2d_1a_3x3", 32, 3, 2))}
        found["conv2a"] = x = self.convolve(x, "Conv2d_2a_3x3", 32, 3)
        found["conv2b"] = x = self.convolve(x, "Conv2d_2b_3x3", 64, 3, 1, 1)
        found["pool1"] = x = functional.max_pool2d(x, 3, 2)
        found["conv3b"] = x = self.convolve(x, "Conv2d_3b_1x1", 80)
        found["conv4a"] = x = self.convolve(x, "Conv2d_4a_3x3", 192, 3)
        found["pool2"] = x = functional.max_pool2d(x, 3, 2)
        for letter, pooled in (("b", 32), ("c", 64), ("d", 64)):
            found[f"mixed5{letter}"] = x = self.block_a(x, f"Mixed_5{letter}", pooled)
        found["mixed6a"] = x = self.block_b(x, "Mixed_6a")
        for letter, width in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
            found[f"mixed6{letter}"] = x = self.block_c(x, f"Mixed_6{letter}", width)
        found["mixed7a"] = x = self.block_d(x, "Mixed_7a")
        found["mixed7b"] = x = self.block_e(x, "Mixed_7b", last=False)
        found["mixed7c"] = x = self.block_e(x, "Mixed_7c", last=True)
        classes = 1008 if self.fid else 1000
        weight = self._tensor("fc.weight", (classes, 2048), -0.05, 0.05)
        found["logits"] = x.mean((2, 3)) @ weight.T + self._tensor("fc.bias", (classes,), -0.1, 0.1)
        return found


@pytest.fixture(scope="module", params=VARIANTS, ids=["inception_v3", "fid_inception"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A model with weights of published names, the tensors, pictures, and what the plain function gives of them."""
    build, fid = request.param
    reference = Reference(fid)
    images = torch.rand(1, 3, 107, 139, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = reference(images)
    file = tmp_path_factory.mktemp("inception") / "published.safetensors"
    save_file({name: tensor.float() for name, tensor in reference.state.items()}, file)
    torch.manual_seed(0)
    model = build(Config())
    model.load_weights({"model": file}, device=torch.device("cpu"), dtype=torch.float32)
    return model.eval().requires_grad_(False), reference.state, images, expected


def test_every_layer_is_that_of_the_plain_function(pair, assert_same_layers: Callable) -> None:
    model, _, images, expected = pair
    assert_same_layers(model(images.float(), list(model.layers)), expected, 2e-5)


def test_published_names_are_exactly_those_of_the_plain_function(pair) -> None:
    model, state, *_ = pair
    required, optional = model.published_names()
    assert required == state.keys()
    assert len(required) == 94 * 5 + 2  # the paper's 94 convolutions, each with its batch norm, and the class head
    # what torchvision's file holds besides: counters, and the classifier that helped training
    assert {"Mixed_7c.branch_pool.bn.num_batches_tracked", "AuxLogits.conv1.bn.running_var"} < optional
    assert {"AuxLogits.fc.weight", "AuxLogits.fc.bias"} < optional
    assert len(required | optional) == 580


def test_parameters_are_as_many_as_published(pair) -> None:
    """A folded convolution has one number a channel where batch norm learns two."""
    model, state, *_ = pair
    channels = sum(len(tensor) for name, tensor in state.items() if name.endswith("bn.weight"))
    own = sum(tensor.numel() for tensor in model.own_state().values())
    assert own + channels == PARAMETERS + (8 * 2049 if isinstance(model, FidInception) else 0)


def test_layers_declare_channels_and_strides_and_the_published_sides(pair) -> None:
    model, *_ = pair
    with torch.device("meta"):
        plain = type(model)(Config())
        features = plain(torch.empty(1, 3, 299, 299), list(plain.layers))
    sides = {name: tuple(features[name].shape[1:]) for name in ("conv1a", "pool1", "pool2", "mixed5d", "mixed6e")}
    assert sides == {
        "conv1a": (32, 149, 149),
        "pool1": (64, 73, 73),
        "pool2": (192, 35, 35),
        "mixed5d": (288, 35, 35),
        "mixed6e": (768, 17, 17),
    }
    assert features["mixed7c"].shape == (1, 2048, 8, 8)
    for name, info in model.layers.items():
        assert features[name].shape[1] == info.channels
        if name != "logits":
            assert 0 <= 299 / info.stride - features[name].shape[2] <= 4


def test_each_layer_works_from_its_smallest_side_up(pair) -> None:
    model, *_ = pair
    assert [model.smallest_side(name) for name in ("conv1a", "mixed5b", "mixed6a", "mixed7c")] == [3, 27, 43, 75]
    for name in ("conv1a", "pool2", "mixed6a", "mixed7a", "logits"):
        side = model.smallest_side(name)
        assert model(torch.rand(1, 3, side, side + 3), [name])[name].numel() > 0
        with pytest.raises(ImageError, match=rf"too small for layer '{name}'.*needs {side} a side"):
            model(torch.rand(1, 3, side - 1, 99), [name])


def test_layers_asked_for_together_are_those_asked_for_alone_and_gradients_pass(pair) -> None:
    model, _, images, _ = pair
    names = ["conv2a", "pool1", "mixed5d", "mixed6a"]
    images = images.float().requires_grad_()
    together = model(images, names[::-1])
    assert list(together) == names[::-1]
    for name in names:
        assert torch.equal(model(images, [name])[name], together[name]), f"{name} was overwritten"
    (gradient,) = torch.autograd.grad(together["mixed6a"].sum(), images)
    assert gradient.abs().max() > 0
    for role in ("style", "content", "dream", "critic"):
        assert model.role_layers(role)


def test_files_of_the_other_variant_and_without_a_head_are_told(pair, tmp_path: Path) -> None:
    model, state, *_ = pair
    save = {name: tensor.float() for name, tensor in state.items()}
    save_file(save, tmp_path / "whole.safetensors")
    save_file(
        {name: value for name, value in save.items() if not name.startswith("fc.")}, tmp_path / "bare.safetensors"
    )

    def load(into: PhotoBackbone, name: str) -> None:
        into.load_weights({"model": tmp_path / name}, device=torch.device("cpu"), dtype=torch.float32)

    other = InceptionV3 if isinstance(model, FidInception) else FidInception
    with torch.device("meta"):  # refused before anything is loaded
        refusing = other(Config()), type(model)(Config())
    with pytest.raises(ModelError, match=r"classifier.* is \[100[08]"):
        load(refusing[0], "whole.safetensors")
    with pytest.raises(ModelError, match=r"missing 'fc\.bias', missing 'fc\.weight'; features alone load with"):
        load(refusing[1], "bare.safetensors")
    headless = type(model)(Config(classifier=False))
    for name in ("bare.safetensors", "whole.safetensors"):
        load(headless, name)
    assert "logits" not in headless.layers
    images = torch.rand(1, 3, 80, 80)
    assert torch.equal(headless.eval()(images, ["mixed7c"])["mixed7c"], model(images, ["mixed7c"])["mixed7c"])


def test_only_the_variant_for_fid_says_so_and_takes_a_user_s_file(pair, tmp_path: Path) -> None:
    model, state, images, expected = pair
    specs = {spec.name: spec for spec in ganart_backbones.ganart_models()}
    name = "fid_inception" if isinstance(model, FidInception) else "inception_v3"
    assert ("x-fid-inception" in specs[name].capabilities) == (name == "fid_inception")
    save_file({name: tensor.float() for name, tensor in state.items()}, tmp_path / "mine.safetensors")
    made = Zoo(strict=True).create(name, weights=tmp_path / "mine.safetensors")
    found = made(images.float(), ["mixed7c"])["mixed7c"].mean(dim=(2, 3))
    torch.testing.assert_close(found.double(), expected["mixed7c"].mean(dim=(2, 3)), rtol=1e-4, atol=1e-4)
