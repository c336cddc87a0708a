"""Colour with 16 bits a channel, which Pillow would cut to eight: read from PNG and TIFF by the extra's libraries.

`imagecodecs` and `tifffile`, of `ganart-zoo[photos]`. Torch-free.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

__all__ = ["DeepColour", "is_deep", "read_deep"]

_log = logging.getLogger("ganart_zoo")

_BLACK_POINT_COMPENSATION = 0x2000

Unit = npt.NDArray[np.float32]


class DeepColour(NamedTuple):
    """A picture with 16 bits a channel."""

    values: npt.NDArray[np.uint16]
    """`[H, W, 1..4]`: grey or red, green and blue, and alpha where the number is even."""
    profile: bytes | None
    """The ICC profile."""

    def rows(self, top: int, bottom: int) -> tuple[Unit, Unit | None]:
        """Return the sRGB colour `[h, W, 3]` of some rows, and their alpha `[h, W]` or None, in 0..1."""
        values = self.values[top:bottom]
        channels = values.shape[2]
        colour, alpha = values[..., : channels - (channels + 1) % 2], None
        if channels % 2 == 0:
            alpha = _unit(values[..., -1])
        return _unit(np.broadcast_to(_srgb(colour, self.profile), (*values.shape[:2], 3))), alpha


def is_deep(image: Image.Image) -> bool:
    """Say whether a picture of which the header is read has 16-bit colour that Pillow would cut."""
    if image.format not in ("PNG", "TIFF") or image.mode not in ("RGB", "RGBA", "RGBX"):
        return False
    if image.format == "TIFF":
        return set(_tags(image).get(258, ())) == {16} and _tags(image).get(262) == 2
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())) and "transparency" not in image.info


def read_deep(stream: BinaryIO, image: Image.Image, name: str) -> DeepColour | None:
    """Return a picture that `is_deep` as it is stored; None, with a warning, where that is not possible.

    Args:
        stream: The file, at its start.
        image: Its header.
        name: For the warning.
    """
    try:
        values = _png(stream) if image.format == "PNG" else _tiff(stream)
    except ImportError:
        _log.warning("%s: read with 8 of its 16 bits; pip install 'ganart-zoo[photos]' for all", name)
        return None
    except Exception as error:  # parsers raise anything for arbitrary bytes; Pillow says what is wrong
        _log.warning("%s: read with 8 of its 16 bits (%s)", name, " ".join(str(error).split()))
        return None
    # Pillow gives the sides of a turned TIFF as they are upright
    if values.dtype != np.uint16 or values.ndim != 3 or sorted(values.shape[:2]) != sorted(image.size):
        return None
    return DeepColour(values[..., :4], image.info.get("icc_profile"))


def _tags(image: Image.Image) -> Any:
    return getattr(image, "tag_v2", {})


def _png(stream: BinaryIO) -> npt.NDArray[Any]:
    import imagecodecs

    values: npt.NDArray[Any] = imagecodecs.png_decode(stream.read())
    return values


def _tiff(stream: BinaryIO) -> npt.NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(stream) as file:
        page: Any = file.pages.first
        values: npt.NDArray[Any] = page.asarray()
        if page.axes == "SYX":  # a plane for each channel
            values = values.transpose(1, 2, 0)
        if values.shape[2] == 4 and not page.extrasamples:
            values = values[..., :3]
    return values


def _srgb(colour: npt.NDArray[np.uint16], profile: bytes | None) -> npt.NDArray[np.uint16]:
    """Return colour converted to sRGB, or as it is where there is no profile that fits."""
    if not profile or colour.shape[2] != 3:
        return colour
    import imagecodecs

    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with contextlib.suppress(Exception):  # a damaged profile, or one for another kind of picture, is ignored
        converted: npt.NDArray[np.uint16] = imagecodecs.cms_transform(
            np.ascontiguousarray(colour),
            profile,
            target,
            colorspace="rgb",
            outcolorspace="rgb",
            outdtype=np.uint16,
            intent=int(ImageCms.Intent.RELATIVE_COLORIMETRIC),
            flags=_BLACK_POINT_COMPENSATION,
        )
        return converted
    return colour


def _unit(values: npt.NDArray[np.uint16]) -> Unit:
    return values.astype(np.float32) / np.float32(65535)
