"""HEIC photos, as telephones make them: recognised always, and read where the extra `ganart-zoo[photos]` is installed.

Pillow's own list of formats is left as it is.
"""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image

from ganart_zoo.contract.errors import ImageError

__all__ = ["PREFIX", "is_heif", "open_heif"]

PREFIX = 64
"""Bytes of a file that `is_heif` looks at."""

_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}


def is_heif(prefix: bytes) -> bool:
    """Say whether a file that begins with these bytes is HEIC, by the brands that it names."""
    if prefix[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(prefix[:4], "big"), len(prefix))
    return prefix[8:12] in _BRANDS or any(prefix[at : at + 4] in _BRANDS for at in range(16, end - 3, 4))


def open_heif(stream: BinaryIO, name: str) -> Image.Image:
    """Return a picture of which only the header is read.

    Raises:
        ImageError: The extra is not installed.
    """
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise ImageError(f"{name}: HEIC needs pillow-heif; pip install 'ganart-zoo[photos]'") from None
    image: Image.Image = HeifImageFile(stream, name)  # type: ignore[no-untyped-call]
    return image
