"""Weights in a byte each, or three quarters of one: large tensors as small integers with one scale for each row.

A value of `bits` bits is off by at most half a step, `1 / (2 ** bits - 2)` of the largest value of its row. All else is
float16. Shipped files are written so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["pack", "unpack"]

_SCALE, _SHAPE = ".scale", ".shape"
_LEAST_VALUES = 1024
_LARGEST = {8: 127, 6: 31}


def pack(tensors: Mapping[str, Tensor], *, six_bits: Sequence[str] = ()) -> dict[str, Tensor]:
    """Return tensors for a small file: floating-point ones of two axes and at least 1024 values become integers.

    Args:
        tensors: By name.
        six_bits: Starts of the names whose values get 6 bits instead of 8.
    """
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            packed[name] = tensor.contiguous()
        elif tensor.ndim < 2 or tensor.numel() < _LEAST_VALUES:
            packed[name] = tensor.half().contiguous()
        else:
            bits = 6 if name.startswith(tuple(six_bits)) else 8
            rows = tensor.float().flatten(1)
            scale = (rows.abs().amax(dim=1) / _LARGEST[bits]).clamp(min=1e-7)
            values = (rows / scale[:, None]).round().clamp(-_LARGEST[bits], _LARGEST[bits]).to(torch.int8)
            packed[name + _SCALE] = scale
            if bits == 8:
                packed[name] = values.view_as(tensor)
            else:
                packed[name] = _joined(values)
                packed[name + _SHAPE] = torch.tensor(tensor.shape, dtype=torch.int32)
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that `pack` was given, nearly; tensors without a scale stay as they are."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in packed.items():
        scale, shape = packed.get(name + _SCALE), packed.get(name + _SHAPE)
        if name.endswith((_SCALE, _SHAPE)) and name.rpartition(".")[0] in packed:
            continue
        if shape is not None:
            sides = shape.tolist()
            tensor = _split(tensor, shape[1:].prod().item()).view(sides)
        if scale is not None:
            tensor = tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
        tensors[name] = tensor
    return tensors


def _joined(values: Tensor) -> Tensor:
    """Write four values of 6 bits in each three bytes of a row."""
    padded = functional.pad(values, (0, -values.shape[1] % 4)).to(torch.int32) + 32
    four = padded.unflatten(1, (-1, 4))
    word = four[..., 0] | four[..., 1] << 6 | four[..., 2] << 12 | four[..., 3] << 18
    return torch.stack([word & 255, word >> 8 & 255, word >> 16], dim=2).flatten(1).to(torch.uint8)


def _split(joined: Tensor, columns: int | float) -> Tensor:
    """Undo `_joined`."""
    three = joined.to(torch.int32).unflatten(1, (-1, 3))
    word = three[..., 0] | three[..., 1] << 8 | three[..., 2] << 16
    four = torch.stack([word & 63, word >> 6 & 63, word >> 12 & 63, word >> 18], dim=2)
    return four.flatten(1)[:, : int(columns)] - 32
