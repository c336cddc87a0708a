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
    result: float = 1
    reads_input_again: bool = True  # or its output, to differentiate
    has_values: bool = False  # for each channel, differentiated too


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


def adain(x: Tensor, values: Tensor) -> Tensor:
    centred = x - x.mean([2, 3], keepdim=True)  # var(), which published code calls, takes a hundred times as long
    scale = (centred.square().mean([2, 3], keepdim=True) + 1e-5).rsqrt()
    style = values.to(x.dtype)[:, None, None]
    return centred * scale * style + style


def minibatch_stddev(x: Tensor, _: Tensor) -> Tensor:
    samples, channels, height, width = x.shape
    groups = x.reshape(4, samples // 4, channels, height, width)
    spread = (groups - groups.mean(0)).square().mean(0).add(1e-8).sqrt().mean([1, 2, 3])
    return torch.cat([x, spread.repeat(4)[:, None, None, None].expand(-1, 1, height, width)], dim=1)


LAYERS = {
    "bias_act": Layer(
        lambda x, values: ops.bias_act(x, values, act="lrelu"),
        lambda x, values: F.leaky_relu(x + values.to(x.dtype)[:, None, None], 0.2) * 2**0.5,
        has_values=True,
    ),
    "instance_norm_act": Layer(
        lambda x, values: ops.instance_norm_act(x, values, values, act="relu"),
        lambda x, values: F.relu(F.instance_norm(x, weight=values.to(x.dtype), bias=values.to(x.dtype))),
        has_values=True,
    ),
    "adain": Layer(lambda x, values: ops.adain(x, values, values), adain, has_values=True),
    "pixel_norm": Layer(
        lambda x, _: ops.pixel_norm(x), lambda x, _: x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    ),
    "minibatch_stddev": Layer(lambda x, _: ops.minibatch_stddev(x), minibatch_stddev),
    "blur": Layer(lambda x, _: ops.blur(x, TAPS), resample(1, 1, 2, 1), reads_input_again=False),
    "upsample2d": Layer(lambda x, _: ops.upsample2d(x, TAPS), resample(2, 1, 2, 1), result=4, reads_input_again=False),
    "downsample2d": Layer(
        lambda x, _: ops.downsample2d(x, TAPS), resample(1, 2, 1, 1), result=0.25, reads_input_again=False
    ),
}
CASES = [
    *((name, shape, torch.contiguous_format) for name in LAYERS for shape in SHAPES),
    *((name, shape, torch.channels_last) for name in ("bias_act", "blur") for shape in SHAPES),
    ("minibatch_stddev", Shape("critic", 512, 4), torch.contiguous_format),  # where a critic has it
]


@pytest.mark.parametrize(("name", "shape", "layout"), CASES, ids=lambda value: str(value).removeprefix("torch."))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
def test_layers(
    race: Race, compiled: Any, direction: str, dtype: str, name: str, shape: Shape, layout: torch.memory_format
) -> None:
    layer = LAYERS[name]
    x = torch.randn(BATCH, shape.channels, shape.side, shape.side).to(getattr(torch, dtype)).to(memory_format=layout)
    values = torch.randn(shape.channels)
    weights = torch.randn_like(layer.eager(x, values))

    def step(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], object]:
        if direction == "forward":
            return lambda: function(x, values)
        own, own_values = x.clone().requires_grad_(), values.clone().requires_grad_()
        inputs = (own, own_values) if layer.has_values else (own,)
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
            group=shape.group if layout == torch.contiguous_format else f"{shape.group}, channels_last",
            shape=f"{BATCH}x{shape}",
            dtype=dtype,
            direction=direction,
            flops=x.numel(),
            moved=moved,
        )
