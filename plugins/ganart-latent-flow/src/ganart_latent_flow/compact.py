"""Weights in a byte each: rows of large tensors as int8 and one scale, everything else as float16.

The largest error of a value is half a step, 1/254 of the largest value of its row. Shipped files are written so.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["pack", "unpack"]

_SCALE = ".scale"
_LEAST_VALUES = 1024
_LARGEST = 127


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors for a small file: floating-point ones of two axes and at least 1024 values become int8."""
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            packed[name] = tensor.contiguous()
        elif tensor.ndim < 2 or tensor.numel() < _LEAST_VALUES:
            packed[name] = tensor.half().contiguous()
        else:
            rows = tensor.float().flatten(1)
            scale = (rows.abs().amax(dim=1) / _LARGEST).clamp(min=1e-7)
            packed[name] = (rows / scale[:, None]).round().clamp(-_LARGEST, _LARGEST).to(torch.int8).view_as(tensor)
            packed[name + _SCALE] = scale
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that `pack` was given, nearly; tensors without a scale stay as they are."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in packed.items():
        scale = packed.get(name + _SCALE)
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in packed:
            continue
        if scale is not None:
            tensor = tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
        tensors[name] = tensor
    return tensors
