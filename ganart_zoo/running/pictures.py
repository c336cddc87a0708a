"""Pictures as tasks accept them: a file or a tensor, read and described for the record."""

from __future__ import annotations

import hashlib
import os
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.decode import MAX_PIXELS
from ganart_zoo.imaging.images import load, resize
from ganart_zoo.imaging.record import InputFile

__all__ = ["MIN_SIDE", "NamedBytes", "Picture", "check_side", "describe", "fit", "name_of", "read", "shrink"]

MIN_SIDE = 16
"""Pixels. A picture with a shorter side is refused, since there is too little to work on."""

Picture: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8] | Tensor"
"""A file, the bytes of one, a Pillow image, an array `[H, W, 3]` of uint8, or a tensor `[1, 3, H, W]` in 0..1."""

_LARGEST = 2.0
"""No picture in 0..1 has a larger value, whatever sharpening did to it."""


class NamedBytes(bytes):
    """The bytes of a file with its name, for where the file itself cannot be reached.

    Args:
        content: The bytes.
        name: For messages and records.
    """

    name: str

    def __new__(cls, content: bytes, name: str) -> NamedBytes:
        made = super().__new__(cls, content)
        made.name = name
        return made

    def __reduce__(self) -> tuple[type[NamedBytes], tuple[bytes, str]]:
        return NamedBytes, (bytes(self), self.name)


def name_of(picture: Picture) -> str:
    """Return the name of the picture in messages and records."""
    if isinstance(picture, NamedBytes):
        return picture.name
    if isinstance(picture, (str, os.PathLike)):
        return os.fspath(picture)
    if isinstance(picture, bytes):
        return f"{len(picture)} bytes"
    if isinstance(picture, Image.Image):
        return f"image {picture.width}×{picture.height}"
    return f"{'tensor' if isinstance(picture, Tensor) else 'array'} {list(picture.shape)}"


def describe(picture: Picture, role: str) -> InputFile:
    """Return the picture's entry in a record; without a file, the hash is that of its bytes or float32 values.

    Raises:
        ImageError: The file cannot be read.
    """
    if isinstance(picture, (str, os.PathLike)):
        return InputFile.of(picture, role)
    if not isinstance(picture, bytes):
        name = name_of(picture)
        values = read(picture).to("cpu", torch.float32).contiguous().numpy().tobytes()
        return InputFile(role, name, hashlib.sha256(values).hexdigest(), len(values))
    return InputFile(role, name_of(picture), hashlib.sha256(picture).hexdigest(), len(picture))


def read(picture: Picture, *, max_pixels: int = MAX_PIXELS, long_side: int | None = None) -> Tensor:
    """Return the picture as `[1, 3, H, W]` in 0..1.

    Args:
        picture: Anything that a task accepts.
        max_pixels: A file of more pixels is refused, unless it can be decoded at a smaller size.
        long_side: For a picture that will be scaled down to this long side: see `imaging.load`.

    Raises:
        ImageError: The file cannot be read, or the value is not a picture.
    """
    if isinstance(picture, (str, os.PathLike, bytes, Image.Image)):
        return load(picture, max_pixels=max_pixels, long_side=long_side)
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ImageError(f"{name_of(picture)} of {picture.dtype} was given; expected uint8 [H, W, 3]")
        return torch.tensor(picture).permute(2, 0, 1)[None].float().div(255)
    if not isinstance(picture, Tensor):
        raise ImageError(f"{type(picture).__name__} was given, expected a file, bytes, an image, an array or a tensor")
    if picture.ndim != 4 or picture.shape[:2] != (1, 3) or not picture.is_floating_point():
        raise ImageError(
            f"{name_of(picture)} of {picture.dtype} was given; expected floating point [1, 3, H, W] in 0..1"
        )
    if picture.numel() and not float(picture.detach().abs().max()) <= _LARGEST:
        raise ImageError(f"{name_of(picture)} has values up to {float(picture.max()):.4g}; expected 0..1")
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
