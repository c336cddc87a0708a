"""The style loss: forward, and forward with the gradient of the features, on the taps of two backbones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.bench import baselines

from .shapes import EFFICIENTNET_LITE0, TINY, VGG19, Shape

if TYPE_CHECKING:
    from .conftest import Race

SHAPES = [*VGG19, *EFFICIENTNET_LITE0, *TINY]
DTYPES = ("float32", "bfloat16")
CUDA_BATCH = 8

Loss = Callable[[Tensor, Tensor], Tensor]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("direction", ["forward", "forward+backward"])
def test_style_loss(race: Race, compiled: Any, direction: str, dtype: str, shape: Shape, device: str) -> None:
    samples = CUDA_BATCH if device == "cuda" else 1
    pixels = shape.side**2
    features = torch.randn(samples, shape.channels, shape.side, shape.side, device=device).to(getattr(torch, dtype))
    target = ops.gram_matrix(torch.randn(1, shape.channels, 32, 32, device=device))

    def step(loss: Loss, features: Tensor, target: Tensor) -> Callable[[], object]:
        if direction == "forward":
            return lambda: loss(features, target)
        features = features.clone().requires_grad_()
        return lambda: torch.autograd.grad(loss(features, target), features)

    of_samples = target.expand(samples, -1, -1)  # mse_loss would warn of a broadcast
    own_type = of_samples.to(features.dtype)
    candidates = {
        "ganart": step(ops.style_loss, features, target),
        "eager": step(baselines.style_loss, features, own_type),
    }
    if (fused := compiled(baselines.style_loss)) is not None:
        candidates["compile"] = step(fused, features, own_type)
    if dtype != "float32":
        candidates["eager float32"] = step(baselines.style_loss, features.float(), of_samples)

    # C^2 * pixels multiply-adds count half forward, which computes one triangle, and whole backward; the features are
    # read forward, and read and written backward.
    passes = 1 if direction == "forward" else 3
    with ops.use("native"):
        race(
            candidates,
            op="style_loss",
            group=shape.group,
            shape=f"{samples}x{shape}" if samples > 1 else str(shape),
            dtype=dtype,
            device=device,
            direction=direction,
            flops=passes * samples * shape.channels**2 * pixels,
            moved=passes * features.numel() * features.element_size(),
        )


@pytest.mark.parametrize("side", [512, 256])
def test_style_losses(race: Race, side: int, device: str) -> None:
    """All taps of the default backbone at once, against a node a layer."""
    taps = [shape._replace(side=shape.side * side // 512) for shape in EFFICIENTNET_LITE0]
    features = [torch.randn(1, tap.channels, tap.side, tap.side, device=device).requires_grad_() for tap in taps]
    targets = [ops.gram_matrix(torch.randn(1, tap.channels, 32, 32, device=device)) for tap in taps]
    weights = [1 / len(taps)] * len(taps)

    def step(loss: Callable[[], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(loss(), features)

    def looped(one: Loss) -> Callable[[], Tensor]:
        layers = list(zip(features, targets, weights, strict=True))
        return lambda: sum((weight * one(f, target) for f, target, weight in layers), torch.zeros((), device=device))

    candidates = {
        "ganart": step(lambda: ops.style_losses(features, targets, weights)),
        "eager": step(looped(baselines.style_loss)),
        "loop": step(looped(ops.style_loss)),
    }
    with ops.use("native"):
        race(
            candidates,
            op="style_losses",
            group="EfficientNet-lite0",
            shape=f"{len(taps)} taps at {side}",
            dtype="float32",
            device=device,
            direction="forward+backward",
            flops=sum(3 * tap.channels**2 * tap.side**2 for tap in taps),
            moved=sum(3 * f.numel() * f.element_size() for f in features),
        )
