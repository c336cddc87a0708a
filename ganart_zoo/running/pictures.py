"""Pictures as tasks accept them: a file or a tensor, read and described for the record."""

from __future__ import annotations

import hashlib
import os
from typing import TypeAlias

import torch
from torch import Tensor

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.images import load, resize
from ganart_zoo.imaging.record import InputFile

__all__ = ["MIN_SIDE", "Picture", "check_side", "describe", "fit", "name_of", "read", "shrink"]

MIN_SIDE = 16
"""Pixels. A picture with a shorter side is refused, since there is too little to work on."""

Picture: TypeAlias = "str | os.PathLike[str] | Tensor"
"""A file, or a tensor `[1, 3, H, W]` in 0..1."""


def name_of(picture: Picture) -> str:
    """Return the name of the picture in messages and records."""
    return f"tensor {list(picture.shape)}" if isinstance(picture, Tensor) else os.fspath(picture)


def describe(picture: Picture, role: str) -> InputFile:
    """Return the picture's entry in a record; the hash of a tensor is that of its float32 values.

    Raises:
        ImageError: The file cannot be read.
    """
    if not isinstance(picture, Tensor):
        return InputFile.of(picture, role)
    values = picture.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
    return InputFile(role, name_of(picture), hashlib.sha256(values).hexdigest(), len(values))


def read(picture: Picture) -> Tensor:
    """Return the picture as `[1, 3, H, W]` in 0..1.

    Raises:
        ImageError: The file cannot be read, or the tensor is not a picture.
    """
    if not isinstance(picture, Tensor):
        return load(picture)
    if picture.ndim != 4 or picture.shape[:2] != (1, 3) or not picture.is_floating_point():
        raise ImageError(
            f"{name_of(picture)} of {picture.dtype} was given; expected floating point [1, 3, H, W] in 0..1"
        )
    return picture.detach()


def check_side(image: Tensor, name: str) -> None:
    """Raise ImageError where a side of `[n, c, H, W]` is shorter than `MIN_SIDE`."""
    height, width = image.shape[-2:]
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{name}: {width}×{height} pixels to work on, expected at least {MIN_SIDE} a side")


def shrink(image: Tensor, size: int | None) -> Tensor:
    """Scale down to a long side of `size` pixels. A smaller picture is returned as it is, and so is any for None."""
    if size is None or max(image.shape[-2:]) <= size:
        return image
    return resize(image, size).clamp_(0, 1)  # bicubic overshoots at edges


def fit(image: Tensor, like: Tensor) -> Tensor:
    """Scale a picture or mask to the height and width of another."""
    height, width = like.shape[-2:]
    return resize(image, (height, width)).clamp(0, 1)
