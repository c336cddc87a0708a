"""A critic's layer and a generator's: convolution and what follows it, in training and without gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.ops.modulated_conv2d import modulated_conv2d_reference

from .shapes import Shape

if TYPE_CHECKING:
    from .conftest import Race

BATCH = 8
SHAPES = [Shape("critic", 64, 128), Shape("critic", 128, 64), Shape("critic", 256, 32)]
GENERATOR_SHAPES = [Shape("generator", 512, 16), *(shape._replace(group="generator") for shape in SHAPES)]
DTYPES = ("float32", "bfloat16")
DIRECTIONS = ("forward", "forward+backward")

Layer = Callable[..., Tensor]


def one_pass(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The convolution alone and the cheapest pass after it, without the layer's bias and gain: a bound, not a rival."""
    return F.leaky_relu(F.conv2d(x, weight, padding=1), 0.2)


def unfused(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu(F.conv2d(x, weight, bias, padding=1), 0.2) * 2**0.5


def fused(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return ops.conv2d_bias_act(x, weight, bias, padding=1, act="lrelu")


def grouped(x: Tensor, weight: Tensor, styles: Tensor, noise: Tensor, bias: Tensor) -> Tensor:
    """A weight a sample, convolved as groups: how StyleGAN2 was published."""
    z = modulated_conv2d_reference(x, weight, styles, padding=1) + noise + bias[:, None, None]
    return F.leaky_relu(z, 0.2) * 2**0.5


def modulated(x: Tensor, weight: Tensor, styles: Tensor, noise: Tensor, bias: Tensor) -> Tensor:
    return ops.modulated_conv2d(x, weight, styles, padding=1, noise=noise, bias=bias, act="lrelu")


def step(layer: Layer, inputs: Sequence[Tensor], direction: str) -> Callable[[], object]:
    """Return a call of `layer(*inputs)`, which for training differentiates it too."""
    if direction == "forward":
        return lambda: layer(*inputs)
    own = [tensor.clone().requires_grad_() for tensor in inputs]
    weights = torch.randn_like(layer(*inputs))
    return lambda: torch.autograd.grad(layer(*own), own, weights, allow_unused=True)  # the bound has no bias


def work(shape: Shape, dtype: torch.dtype, direction: str) -> dict[str, float]:
    """Return the operations of a 3 x 3 convolution that keeps the shape, and the bytes that it must move."""
    flops = 2 * 9 * BATCH * shape.channels**2 * shape.side**2
    features, weight = BATCH * shape.channels * shape.side**2, 9 * shape.channels**2
    if direction == "forward":
        return {"flops": flops, "moved": (2 * features + weight) * dtype.itemsize}
    return {"flops": 3 * flops, "moved": (5 * features + 3 * weight) * dtype.itemsize}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_conv2d_bias_act(race: Race, compiled: Any, direction: str, dtype: str, shape: Shape) -> None:
    type_ = getattr(torch, dtype)
    x = torch.randn(BATCH, shape.channels, shape.side, shape.side).to(type_)
    weight, bias = torch.randn(shape.channels, shape.channels, 3, 3).to(type_), torch.randn(shape.channels).to(type_)
    layers = {"ganart": fused, "eager": unfused, "convolution + pass": one_pass}
    if (by_inductor := compiled(unfused)) is not None:
        layers["compile"] = by_inductor
    with ops.use("native"):
        race(
            {name: step(layer, [x, weight, bias], direction) for name, layer in layers.items()},
            op="conv2d_bias_act",
            group=shape.group,
            shape=f"{BATCH}x{shape}",
            dtype=dtype,
            direction=direction,
            **work(shape, type_, direction),
        )


@pytest.mark.parametrize("shape", GENERATOR_SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_modulated_conv2d(race: Race, compiled: Any, direction: str, dtype: str, shape: Shape) -> None:
    type_ = getattr(torch, dtype)
    x, noise, styles, weight, bias = (
        torch.randn(sizes).to(type_)
        for sizes in (
            (BATCH, shape.channels, shape.side, shape.side),
            (BATCH, 1, shape.side, shape.side),
            (BATCH, shape.channels),
            (shape.channels, shape.channels, 3, 3),
            (shape.channels,),
        )
    )
    layers = {"ganart": modulated, "eager": grouped}
    if (by_inductor := compiled(grouped)) is not None:
        layers["compile"] = by_inductor
    with ops.use("native"):
        race(
            {name: step(layer, [x, weight, styles, noise, bias], direction) for name, layer in layers.items()},
            op="modulated_conv2d",
            group=shape.group,
            shape=f"{BATCH}x{shape}",
            dtype=dtype,
            direction=direction,
            **work(shape, type_, direction),
        )
