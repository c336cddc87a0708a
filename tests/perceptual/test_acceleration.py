"""Winograd's convolutions replace direct ones where they pay, and only there."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from ganart_zoo import ops
from ganart_zoo.contract import Backbone, LayerInfo
from ganart_zoo.perceptual import accelerate, acceleration, convolve_relu, fastest, peak_bytes, warmed

NATIVE = any(status.op == "ganart::winograd_conv2d" and status.implementation == "native" for status in ops.status())
needs_kernels = pytest.mark.skipif(not NATIVE, reason="built without kernels")


def stack(*channels: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in pairwise(channels)))


class Wide(Backbone):
    """One layer, of a network that takes pictures for features."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.network = network
        self.layers = {"end": LayerInfo(192, 1)}
        self.taps = {}

    def forward(self, images, layers):
        features = images.repeat(1, 64, 1, 1).to(self.compute_dtype)
        return {"end": self.network(features)}


def replaced(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_children() if not isinstance(module, nn.Conv2d)]


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_accelerated_network_computes_the_same(dtype):
    network, plain = accelerate(stack(3, 64, 96).to(dtype)), stack(3, 64, 96)
    assert replaced(network) == ["1"]
    pictures = torch.rand(1, 3, 24, 24, requires_grad=True)
    result, expected = network(pictures.to(dtype)), plain(pictures)
    assert result.dtype == dtype
    tolerance = 0.02 if dtype == torch.bfloat16 else 1e-4
    torch.testing.assert_close(result.float(), expected, rtol=0, atol=tolerance)
    (gradient,) = torch.autograd.grad(result.float().square().mean(), pictures)
    (right,) = torch.autograd.grad(expected.square().mean(), pictures)
    torch.testing.assert_close(gradient, right, rtol=0, atol=tolerance * right.abs().max().item())


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kept", [0, 2**30], ids=["in each call", "once"])
def test_weights_are_transformed_once_or_in_each_call(dtype, kept, monkeypatch):
    monkeypatch.setattr(acceleration, "_KEPT_BYTES", kept)
    monkeypatch.setattr(acceleration, "_WARMING_SIDE", 8)
    plain = stack(192, 192)[0]
    network = accelerate(nn.Sequential(copy.deepcopy(plain).to(dtype)))
    features = torch.randn(1, 192, 17, 19)
    ends = []
    for layer, x in ((network[0], features.to(dtype)), (plain, features)):
        leaf = x.detach().clone().requires_grad_()
        made = [convolve_relu(layer, leaf), layer(leaf)]
        ends.append([*made, *(torch.autograd.grad(one.float().square().sum(), leaf)[0] for one in made)])
    for found, right in zip(*ends, strict=True):
        tolerance = (0.03 if dtype == torch.bfloat16 else 1e-3) * right.abs().max().item()
        torch.testing.assert_close(found.float(), right, rtol=0, atol=tolerance)
    fresh = Wide(accelerate(nn.Sequential(copy.deepcopy(plain))))
    holds = peak_bytes(lambda: warmed(fresh, ("end",)))
    assert (holds > 192 * 192 * 256) == bool(kept)


@needs_kernels
def test_a_copy_shares_what_is_not_converted():
    """Nothing of the original changes, and a copy of the same type takes no memory before it is used."""
    backbone = Wide(stack(192, 192))
    before = [(p.data_ptr(), p.dtype) for p in backbone.parameters()]
    assert peak_bytes(lambda: fastest(backbone, "float32")) == 0
    assert fastest(backbone, "bfloat16").compute_dtype == torch.bfloat16
    assert [(p.data_ptr(), p.dtype) for p in backbone.parameters()] == before


@needs_kernels
def test_maps_too_small_to_gain_are_convolved_directly():
    network, plain = accelerate(stack(64, 64)), stack(64, 64)
    features = torch.randn(1, 64, 8, 8)
    assert torch.equal(network(features), plain(features))


def test_without_kernels_nothing_is_replaced():
    with ops.use("reference"):
        assert replaced(accelerate(stack(64, 64))) == []


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(64, 64, 1),
        nn.Conv2d(64, 64, 3),
        nn.Conv2d(64, 64, 3, padding=1, stride=2),
        nn.Conv2d(64, 64, 3, padding=1, groups=2),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(16, 64, 3, padding=1),
        nn.Conv2d(64, 64, 3, padding=1).double(),
    ],
    ids=repr,
)
def test_other_convolutions_are_left_alone(convolution):
    network = nn.Sequential(convolution)
    assert accelerate(network)[0] is convolution
