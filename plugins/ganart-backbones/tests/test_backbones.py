"""What all four backbones hold: declared layers, nothing overwritten or computed in vain, layouts, types, gradients."""

from __future__ import annotations

import pytest
import torch
from ganart_backbones.config import Config, VggConfig
from ganart_backbones.efficientnet import EfficientNetLite0, _relu6_in_place
from ganart_backbones.photo import PhotoBackbone
from ganart_backbones.squeezenet import SqueezeNet
from ganart_backbones.vgg import VGG16, VGG19
from torch import Tensor, nn

from ganart_zoo.contract import ImageError, SettingsError

BUILDERS = {
    "efficientnet_lite0": lambda: EfficientNetLite0(Config()),
    "squeezenet1_1": lambda: SqueezeNet(Config()),
    "vgg16": lambda: VGG16(VggConfig()),
    "vgg19": lambda: VGG19(VggConfig()),
}


@pytest.fixture(scope="module", params=BUILDERS)
def model(request: pytest.FixtureRequest) -> PhotoBackbone:
    torch.manual_seed(0)
    return BUILDERS[request.param]().eval().requires_grad_(False)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 35, 46, generator=torch.Generator().manual_seed(1))


def test_layers_are_as_declared(model: PhotoBackbone, images: Tensor) -> None:
    found = model(images, list(model.layers))
    assert list(found) == list(model.layers)
    for name, info in model.layers.items():
        assert found[name].shape[:2] == (2, info.channels)
        if name != "logits":
            for side, extent in zip(found[name].shape[2:], images.shape[2:], strict=True):
                assert abs(side - extent / info.stride) <= 1, name


def test_taps_are_layers_and_every_role_has_some(model: PhotoBackbone) -> None:
    assert set(model.taps) == {"style", "content", "dream", "critic"}
    for names in model.taps.values():
        assert names
        assert model.check_layers(names) == names


def test_layers_asked_for_together_are_those_asked_for_alone(model: PhotoBackbone, images: Tensor) -> None:
    together = model(images, list(model.layers))
    for name in model.layers:
        assert torch.equal(model(images, [name])[name], together[name]), f"{name} was overwritten"


def test_features_come_in_the_order_asked(model: PhotoBackbone, images: Tensor) -> None:
    first, *_, last = list(model.layers)[:5]
    assert list(model(images, [last, first])) == [last, first]
    assert list(model(images, [first, first])) == [first]
    assert model(images, []) == {}


def test_nothing_beyond_the_deepest_layer_is_computed(model: PhotoBackbone, images: Tensor) -> None:
    called: list[nn.Module] = []
    handles = [
        module.register_forward_hook(lambda module, *_: called.append(module))
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
    ]
    counts = []
    for name in list(model.layers)[:8]:
        called.clear()
        model(images, [name])
        counts.append(len(called))
    called.clear()
    model(images, list(model.layers))
    for handle in handles:
        handle.remove()
    assert counts[0] == 1
    assert counts == sorted(counts)
    assert counts[-1] < len(called) == len(handles)


def test_pictures_are_left_alone_and_a_second_call_agrees(model: PhotoBackbone, images: Tensor) -> None:
    before = images.clone()
    layers = model.taps["style"]
    first, second = model(images, layers), model(images, layers)
    assert torch.equal(images, before)
    assert all(torch.equal(first[name], second[name]) for name in layers)


def test_gradients_reach_the_pictures_whatever_is_kept(model: PhotoBackbone, images: Tensor) -> None:
    deepest = list(model.layers)[-1]
    gradients = []
    for layers in ([deepest], list(model.layers)):
        images = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(model(images, layers)[deepest].square().sum(), images)
        gradients.append(gradient)
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("network", ["efficientnet_lite0", "squeezenet1_1"])
def test_gradients_are_right(network: str) -> None:
    torch.manual_seed(0)
    model = BUILDERS[network]().double().eval().requires_grad_(False)
    layers = list(model.layers)[:4]
    images = torch.rand(1, 3, 6, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: tuple(model(x, layers).values()), images)


def test_relu6_in_place_equals_relu6_to_the_second_derivative() -> None:
    values = torch.linspace(-2, 9, 24, dtype=torch.float64, requires_grad=True)
    activated = _relu6_in_place(values * 1)
    assert torch.equal(activated, nn.functional.relu6(values))
    assert torch.autograd.gradcheck(lambda x: _relu6_in_place(x * 1), values)
    assert torch.autograd.gradgradcheck(lambda x: _relu6_in_place(x.square()), values)


def test_channels_last_changes_the_layout_alone(model: PhotoBackbone, images: Tensor) -> None:
    layers = list(model.taps["style"])
    expected = model(images, layers)
    found = model(images.contiguous(memory_format=torch.channels_last), layers)
    for name in layers:
        assert found[name].is_contiguous(memory_format=torch.channels_last), name
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-4)


def test_bfloat16_features_are_near_float32(model: PhotoBackbone, images: Tensor) -> None:
    layers = list(model.taps["style"])
    expected = model(images, layers)
    model.to(torch.bfloat16)
    try:
        found = model(images, layers)
        for name in layers:
            assert found[name].dtype == torch.bfloat16
            error = (found[name].float() - expected[name]).norm() / expected[name].norm()
            assert error < 0.03, f"{name}: {error:.3f}"
    finally:
        model.to(torch.float32)


def test_each_layer_works_from_its_smallest_side_up(model: PhotoBackbone) -> None:
    for name in model.layers:
        side = model.smallest_side(name)
        assert model(torch.rand(1, 3, side, side + 3), [name])[name].numel() > 0
        with pytest.raises(ImageError, match=rf"too small for layer '{name}'.*needs {side} a side"):
            model(torch.rand(1, 3, side - 1, 64), [name])


def test_an_empty_batch_gives_empty_features(model: PhotoBackbone) -> None:
    name, info = list(model.layers.items())[1]
    assert model(torch.rand(0, 3, 32, 32), [name])[name].shape[:2] == (0, info.channels)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(3, 64, 64), r"\[3, 64, 64\], expected floating point \[n, 3, H, W\]"),
        (torch.rand(1, 1, 64, 64), r"\[1, 1, 64, 64\], expected"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "torch.uint8"),
    ],
)
def test_other_tensors_are_refused(model: PhotoBackbone, images: Tensor, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        model(images, [next(iter(model.layers))])


def test_unknown_layers_are_refused_with_near_misses(model: PhotoBackbone, images: Tensor) -> None:
    known = list(model.layers)[2]
    with pytest.raises(SettingsError, match=rf"did you mean .*'{known}'"):
        model(images, [known + "_"])


@pytest.mark.parametrize(
    ("build", "parameters"),
    [
        (lambda: VGG16(VggConfig(classifier=True)), 138_357_544),  # the papers' 138 and 144 million,
        (lambda: VGG19(VggConfig(classifier=True)), 143_667_240),  # to the last as torchvision counts them
        (lambda: SqueezeNet(Config()), 1_235_496),
        # 4,652,008 published, less the gains of batch norms folded into the convolutions: one a channel
        (lambda: EfficientNetLite0(Config()), 4_652_008 - 21_008),
    ],
)
def test_parameter_counts_are_the_published_ones(build: object, parameters: int) -> None:
    with torch.device("meta"):
        model = build()
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_efficientnet_compiles_as_one_graph(images: Tensor) -> None:
    model = EfficientNetLite0(Config()).eval().requires_grad_(False)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    images = images.requires_grad_()
    expected, found = (network(images, ["block1"])["block1"] for network in (model, compiled))
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(features.square().sum(), images)[0] for features in (expected, found)]
    torch.testing.assert_close(*gradients)
