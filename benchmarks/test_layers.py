"""Fused layers, norms and resampling against plain PyTorch, at the shapes of a critic at 128 pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_zoo import ops

from .shapes import Shape

if TYPE_CHECKING:
    from .conftest import Race

BATCH = 8
SHAPES = [Shape("critic", 64, 128), Shape("critic", 128, 64), Shape("critic", 256, 32)]
DTYPES = ("float32", "bfloat16")
TAPS = torch.tensor([1.0, 3, 3, 1]) / 8


class Layer(NamedTuple):
    """An op, its plain twin, and a result's size in inputs: what memory must move at least follows from it."""

    native: Callable[[Tensor, Tensor], Tensor]
    eager: Callable[[Tensor, Tensor], Tensor]
    result: float
    reads_input_again: bool  # or its output, to differentiate


def resample(up: int, down: int, before: int, after: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what a user would write: zeros inserted by a reshape, padding, and a depthwise convolution."""

    def apply(x: Tensor, _: Tensor) -> Tensor:
        samples, channels, height, width = x.shape
        if up > 1:
            x = F.pad(x[:, :, :, None, :, None], [0, up - 1, 0, 0, 0, up - 1])
            x = x.reshape(samples, channels, height * up, width * up)
        kernel = (torch.outer(TAPS, TAPS) * up**2).to(x).expand(channels, 1, -1, -1)
        return F.conv2d(F.pad(x, [before, after, before, after]), kernel, stride=down, groups=channels)

    return apply


LAYERS = {
    "bias_act": Layer(
        lambda x, values: ops.bias_act(x, values, act="lrelu"),
        lambda x, values: F.leaky_relu(x + values.to(x.dtype)[:, None, None], 0.2) * 2**0.5,
        1,
        True,
    ),
    "instance_norm_act": Layer(
        lambda x, values: ops.instance_norm_act(x, values, values, act="relu"),
        lambda x, values: F.relu(F.instance_norm(x, weight=values.to(x.dtype), bias=values.to(x.dtype))),
        1,
        True,
    ),
    "blur": Layer(lambda x, _: ops.blur(x, TAPS), resample(1, 1, 2, 1), 1, False),
    "upsample2d": Layer(lambda x, _: ops.upsample2d(x, TAPS), resample(2, 1, 2, 1), 4, False),
    "downsample2d": Layer(lambda x, _: ops.downsample2d(x, TAPS), resample(1, 2, 1, 1), 0.25, False),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
def test_layers(race: Race, compiled: Any, direction: str, dtype: str, shape: Shape, name: str) -> None:
    layer = LAYERS[name]
    x = torch.randn(BATCH, shape.channels, shape.side, shape.side).to(getattr(torch, dtype))
    values = torch.randn(shape.channels)
    weights = torch.randn_like(layer.eager(x, values))

    def step(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], object]:
        if direction == "forward":
            return lambda: function(x, values)
        own, own_values = x.clone().requires_grad_(), values.clone().requires_grad_()
        inputs = (own, own_values) if layer.reads_input_again else (own,)
        return lambda: torch.autograd.grad(function(own, own_values), inputs, weights)

    candidates = {"ganart": step(layer.native), "eager": step(layer.eager)}
    if (fused := compiled(layer.eager)) is not None:
        candidates["compile"] = step(fused)
    moved = x.numel() * x.element_size() * (1 + layer.result)
    if direction != "forward":
        moved += x.numel() * x.element_size() * (1 + layer.result + layer.reads_input_again)
    with ops.use("native"):
        race(
            candidates,
            op=name,
            group=shape.group,
            shape=f"{BATCH}x{shape}",
            dtype=dtype,
            direction=direction,
            flops=x.numel(),
            moved=moved,
        )
