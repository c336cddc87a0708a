"""Features, sums and gradients of tiles are those of the whole picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_zoo.contract import Backbone, LayerInfo, SettingsError
from ganart_zoo.imaging.tiles import Tile
from ganart_zoo.perceptual import (
    Shift,
    Tiling,
    accelerate,
    margins,
    measure_reach,
    pixel_penalties,
    range_penalty,
    total_variation,
    with_gradient,
    with_margin,
)


class Mixed(Backbone):
    """A padded convolution, a pooling that drops odd rows, an unpadded one with a stride, and a mean."""

    def __init__(self, *, declared: bool = True) -> None:
        super().__init__()
        reach = (2, 2, 6) if declared else (None,) * 3
        self.layers = {
            "first": LayerInfo(3, 1, reach[0]),
            "pool": LayerInfo(3, 2, reach[1]),
            "deep": LayerInfo(4, 4, reach[2]),
            "logits": LayerInfo(4, 4),
        }
        self.taps = {}
        self.first = nn.Conv2d(3, 3, 5, padding=2)
        self.deep = nn.Conv2d(3, 4, 4, stride=2)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        first = self.first(images).relu()
        pool = functional.max_pool2d(first, 2)
        deep = self.deep(pool)
        found = {"first": first, "pool": pool, "deep": deep, "logits": deep.mean(dim=(2, 3))}
        return {name: found[name] for name in layers}


LAYERS = ("first", "pool", "deep")


@pytest.fixture
def network() -> Mixed:
    return Mixed().double()


@pytest.mark.parametrize("size", [(50, 61), (47, 200), (17, 18), (33, 64)])
@pytest.mark.parametrize("shift", [Shift(0, 0), Shift(5, 2)])
def test_features_sums_and_gradients_equal_the_whole(network: Mixed, size: tuple[int, int], shift: Shift) -> None:
    torch.manual_seed(1)
    picture = torch.rand(1, 3, *size, dtype=torch.float64, requires_grad=True)
    tiling = Tiling(network, LAYERS, *size, tile=20, margins=margins(*size, shift, margin=3, period=8))
    whole = network(with_margin(picture, shift, margin=3, period=8), LAYERS)
    assert tiling.sides() == {name: tuple(features.shape[2:]) for name, features in whole.items()}

    weights = {name: torch.rand_like(features) for name, features in whole.items()}
    seen = {name: torch.zeros_like(features) for name, features in whole.items()}

    def statistics(tile: Tile, features: Mapping[str, Tensor]) -> list[Tensor]:
        for name in LAYERS:
            rows, columns = tiling.cells(name, tile)
            assert seen[name][:, :, rows, columns].shape == features[name].shape
            seen[name][:, :, rows, columns] += features[name]
        return [features[name].sum() for name in LAYERS]

    def loss(tile: Tile, features: Mapping[str, Tensor]) -> Tensor:
        terms = []
        for name in LAYERS:
            rows, columns = tiling.cells(name, tile)
            terms.append((features[name].square() * weights[name][:, :, rows, columns]).sum())
        return torch.stack(terms).sum()

    totals = tiling.collect(picture, statistics)
    for name, total in zip(LAYERS, totals, strict=True):
        torch.testing.assert_close(seen[name], whole[name].detach(), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(total, whole[name].sum().detach())
    gradient = torch.zeros_like(picture)
    tiling.pull_back(picture, loss, gradient)
    value = torch.stack([(whole[name].square() * weights[name]).sum() for name in LAYERS]).sum()
    (expected,) = torch.autograd.grad(value, picture)
    assert (gradient - expected).norm() <= 1e-13 * expected.norm()
    assert len(tiling.tiles) > 1


class Padded(Backbone):
    """Convolutions that Winograd's algorithm computes, and a pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = {"near": LayerInfo(32, 1, 2), "far": LayerInfo(64, 2, 5)}
        self.taps = {}
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.near = nn.Conv2d(32, 32, 3, padding=1)
        self.far = nn.Conv2d(32, 64, 3, padding=1)

    def forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        near = self.near(self.first(images).relu()).relu()
        found = {"near": near, "far": self.far(functional.max_pool2d(near, 2)).relu()}
        return {name: found[name] for name in layers}


@pytest.mark.parametrize(("winograd", "bound"), [(True, 1e-3), (False, 1e-5)])
def test_gradients_in_float32_stay_within_their_bounds(winograd: bool, bound: float) -> None:
    torch.manual_seed(2)
    network: Backbone = Padded().requires_grad_(False)
    if winograd:
        network = accelerate(network)
        assert any(type(module).__name__ == "_WinogradConv2d" for module in network.modules())
    picture = torch.rand(1, 3, 97, 121, requires_grad=True)
    tiling = Tiling(network, ("near", "far"), 97, 121, tile=40)
    gradient = torch.zeros_like(picture)
    tiling.pull_back(picture, lambda _, features: sum(part.square().sum() for part in features.values()), gradient)
    whole = network(picture, ("near", "far"))
    (expected,) = torch.autograd.grad(sum(part.square().sum() for part in whole.values()), picture)
    assert (gradient - expected).norm() <= bound * expected.norm()
    assert len(tiling.tiles) > 4


def test_reach_is_measured_where_it_is_not_declared() -> None:
    assert [measure_reach(Mixed(), name) for name in ("first", "pool", "deep", "logits")] == [2, 2, 8, None]
    undeclared, declared = (Tiling(Mixed(declared=known), LAYERS, 200, 40, tile=16) for known in (False, True))
    assert undeclared.tiles == declared.tiles


def test_a_layer_that_needs_the_whole_picture_is_refused(network: Mixed) -> None:
    with pytest.raises(SettingsError, match="'logits' of Mixed depends on the whole picture"):
        Tiling(network, ["logits"], 50, 50, tile=20)


@pytest.mark.parametrize("size", [(65, 7), (1, 5), (200, 1)])
def test_penalties_and_their_gradients_equal_those_of_the_whole(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    picture = (3 * torch.rand(1, 3, *size, dtype=torch.float64) - 1).requires_grad_()
    gradient = torch.zeros_like(picture)
    variation, beyond = pixel_penalties(picture, gradient, variation_weight=2.0, range_weight=5.0)
    loss = 5 * range_penalty(picture)
    if min(size) > 1:  # the mean over no pairs is not a number
        loss = loss + 2 * total_variation(picture)
        torch.testing.assert_close(variation, total_variation(picture).detach())
        torch.testing.assert_close(gradient, torch.autograd.grad(loss, picture)[0])
    torch.testing.assert_close(beyond, range_penalty(picture).detach())


def test_an_attached_gradient_is_the_derivative() -> None:
    picture = torch.rand(1, 3, 4, 4, requires_grad=True)
    loss = with_gradient(torch.tensor(7.0), picture * 2, torch.ones(1, 3, 4, 4))
    assert loss == 7
    assert torch.equal(torch.autograd.grad(3 * loss, picture)[0], torch.full((1, 3, 4, 4), 6.0))
