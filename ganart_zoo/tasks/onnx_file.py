"""ONNX files of networks: written for inputs of any size along some axes, and checked with onnxruntime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganart_zoo import ops
from ganart_zoo.contract.errors import ModelError

__all__ = ["LARGEST_ERROR", "FreeAxes", "require_onnx", "write_onnx"]

LARGEST_ERROR = 1e-3
"""Allowed difference of torch's and onnxruntime's pictures in 0..1: a quarter of one level of 8 bits."""

FreeAxes = Mapping[str, Mapping[int, Any]]
"""By input, the axes of any length, each with its `torch.export.Dim`; equal ones are the same object."""


def require_onnx() -> Any:
    """Return the module `onnxruntime`.

    Raises:
        ModelError: What the extra `onnx` installs is missing.
    """
    try:
        import onnxruntime  # type: ignore[import-untyped,unused-ignore]
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError as error:
        raise ModelError(f"ONNX needs {error.name}; pip install 'ganart-zoo[onnx]', or leave ONNX out") from None
    return onnxruntime


def write_onnx(
    network: nn.Module,
    traced: Mapping[str, Tensor],
    free: FreeAxes,
    checked: Iterable[Mapping[str, Tensor]],
    file: Path,
    *,
    name: str,
) -> float:
    """Write a network that returns pictures, and compare its pictures with onnxruntime's for other inputs.

    Args:
        network: Takes the inputs in their order.
        traced: Inputs by name; lengths of free axes are 2 or more.
        free: Which lengths may be others.
        checked: Inputs by name, of other lengths.
        file: What to write.
        name: Of the model, for errors.

    Returns:
        The largest difference of any value.

    Raises:
        ModelError: ONNX is not installed or cannot express the network, an axis is not free in it, or pictures differ.
    """
    onnxruntime = require_onnx()
    _trace(network, traced, free, file, name)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    for given in session.get_inputs():
        for axis in free.get(given.name, {}):
            if isinstance(length := given.shape[axis], int):
                what, advice = (
                    ("rows", "ask for shape[0] of tensors and not len()")
                    if axis == 0
                    else (f"along axis {axis} of {given.name}", "not branch on shapes while it is exported")
                )
                raise ModelError(
                    f"{name} in ONNX makes {length} {what} and no other number, for its code fixes it; "
                    f"let it {advice}, or leave ONNX out"
                )
    largest = 0.0
    for inputs in checked:
        with torch.no_grad():
            expected = network(*inputs.values()).numpy()
        (found,) = session.run(None, {key: each.numpy() for key, each in inputs.items()})
        difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
        if not difference <= LARGEST_ERROR:
            sizes = ", ".join(f"{key} {list(each.shape)}" for key, each in inputs.items())
            raise ModelError(
                f"{name} in ONNX differs from torch by {difference:.3g} for {sizes}, expected at most {LARGEST_ERROR}"
            )
        largest = max(largest, difference)
    return largest


def _trace(network: nn.Module, inputs: Mapping[str, Tensor], free: FreeAxes, file: Path, name: str) -> None:
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)  # it warns about torchvision, which is not needed
    try:
        with ops.use("reference"), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns about its own code
            program = torch.onnx.export(
                network,
                tuple(inputs.values()),
                dynamo=True,
                verbose=False,
                input_names=list(inputs),
                output_names=["images"],
                dynamic_shapes=tuple(dict(free.get(key, {})) for key in inputs),
            )
    except Exception as error:
        cause = " ".join(str(error.__cause__ or error).split())[:200]
        raise ModelError(f"{name} cannot be exported to ONNX: {cause}; leave ONNX out") from error
    finally:
        registry.setLevel(level)
    assert program is not None  # so it is with dynamo
    program.save(str(file), external_data=False)
