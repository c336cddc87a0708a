"""The Gram matrix alone, as it is computed once for each style picture, on VGG-19's taps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from ganart_zoo import ops
from ganart_zoo.bench import baselines

from .shapes import VGG19, Shape

if TYPE_CHECKING:
    from .conftest import Race

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@pytest.mark.parametrize("shape", VGG19, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("layout", FORMATS)
def test_gram_matrix(race: Race, compiled: Any, layout: str, dtype: str, shape: Shape, device: str) -> None:
    features = torch.randn(1, shape.channels, shape.side, shape.side, device=device).to(getattr(torch, dtype))
    features = features.contiguous(memory_format=FORMATS[layout])
    candidates = {"ganart": lambda: ops.gram_matrix(features), "eager": lambda: baselines.gram_matrix(features)}
    if (fused := compiled(baselines.gram_matrix)) is not None:
        candidates["compile"] = lambda: fused(features)
    with ops.use("native"):
        race(
            candidates,
            op="gram_matrix",
            group=f"VGG-19, {layout}",
            shape=str(shape),
            dtype=dtype,
            device=device,
            direction="forward",
            flops=shape.channels**2 * shape.side**2,  # half of the square, a multiply-add counted as two
            moved=features.numel() * features.element_size(),
        )
