"""From the bytes of a picture file to upright sRGB pixels, by Pillow and NumPy alone (no torch).

`images.load` turns the result into a tensor; `record` compares pixels with it.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms

from ganart_zoo.contract.errors import ImageError, SettingsError

__all__ = ["MAX_PIXELS", "PictureSource", "decode", "read"]

PictureSource: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image"

#: The default limit of `read` and `decode`: 134 megapixels, 1.5 GiB once they are float32.
MAX_PIXELS = 2**27

# Pillow can open far more. These are recognised by their first bytes, and none hands the file to another program, as
# EPS does to Ghostscript.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF")

# What undoes each EXIF orientation.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# lcms2's cmsFLAGS_BLACKPOINTCOMPENSATION; ImageCms has a name for it only since Pillow 10.2.
_BLACK_POINT_COMPENSATION = 0x2000


def read(source: PictureSource, *, max_pixels: int = MAX_PIXELS, least_side: int | None = None) -> Image.Image:
    """Return the first frame of a picture, its pixels in memory and otherwise as stored.

    Args:
        source: a path, the bytes of a picture file, or a Pillow image, which is returned itself.
        max_pixels: refuse a picture that declares more than this, before anything is allocated for it.
        least_side: for a picture that will be scaled down: decode a JPEG at a half, a quarter or an eighth, as long as
            no side falls below this. That takes a fraction of the time. None decodes in full.

    Raises:
        ImageError: `source` is missing, unreadable, no picture, damaged, cut short or too large.
        SettingsError: `max_pixels` is not positive.
    """
    if max_pixels < 1:
        raise SettingsError(f"max_pixels is {max_pixels}; expected a positive number of pixels")
    name = _name(source)
    if isinstance(source, Image.Image):
        return _load(source, name, max_pixels, None)
    if isinstance(source, bytes):
        return _read_stream(io.BytesIO(source), name, max_pixels, least_side)
    try:
        with Path(source).open("rb") as stream:
            return _read_stream(stream, name, max_pixels, least_side)
    except FileNotFoundError:
        raise ImageError(f"{name}: there is no such file; check the path") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: is a folder; expected a picture file") from None
    except OSError as error:
        raise ImageError(f"{name}: cannot be opened ({error.strerror or error})") from None


def decode(
    source: PictureSource,
    *,
    ground: Sequence[float] = (1.0, 1.0, 1.0),
    max_pixels: int = MAX_PIXELS,
    least_side: int | None = None,
) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Return the upright sRGB pixels of a picture's first frame, transparency laid over `ground`.

    Embedded ICC profiles are converted to sRGB (relative colorimetric, black point compensation); a profile that is
    damaged or belongs to another kind of picture is ignored, as browsers do. CMYK without a profile is taken as
    the complement of RGB. Pillow keeps 16 bits of greyscale only: of 16-bit colour it delivers the upper eight.

    Args:
        source: as for `read`.
        ground: the sRGB colour behind transparent pixels, each part in 0..1. Blended in sRGB, as browsers do.
        max_pixels: as for `read`.
        least_side: as for `read`.

    Returns:
        Pixels [H, W, 3]: uint8 in 0..255 where the file holds no more than that, else float32 in 0..1.

    Raises:
        ImageError: as for `read`, or floating-point pixels lie outside 0..1, or the pixel format cannot be converted.
        SettingsError: `ground` is not three numbers in 0..1, or `max_pixels` is not positive.
    """
    if len(ground) != 3 or not all(0.0 <= part <= 1.0 for part in ground):
        raise SettingsError(f"ground is {tuple(ground)}; expected red, green and blue, each in 0..1")
    name = _name(source)
    image = _upright(read(source, max_pixels=max_pixels, least_side=least_side))
    colour: npt.NDArray[Any]
    try:
        if image.mode.startswith("I") or image.mode == "F":
            colour, alpha = _deep_grey(image, name)
        else:
            colour, alpha = _eight_bit(image)
    except ImageError:
        raise
    except Exception as error:  # Pillow refuses conversions with ValueError, KeyError, OSError, ...
        raise ImageError(f"{name}: {image.mode} pixels cannot be converted to sRGB ({_reason(error)})") from error
    if alpha is None or alpha.min() == 1.0:
        return colour
    share = alpha[..., np.newaxis]
    return _unit(colour) * share + np.asarray(ground, np.float32) * (1.0 - share)


def _name(source: PictureSource) -> str:
    """What an error calls the picture."""
    if isinstance(source, bytes):
        return f"picture of {len(source)} bytes"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "Pillow image")
    return os.fspath(source)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _read_stream(stream: BinaryIO, name: str, max_pixels: int, least_side: int | None) -> Image.Image:
    prefix = stream.read(16)
    if not prefix:
        raise ImageError(f"{name}: is empty (0 bytes); expected a picture")
    # Not Image.open: its bomb check warns and raises by process-wide settings, and it would try every format.
    Image.init()
    for form in _FORMATS:
        if form not in Image.OPEN:  # this Pillow was built without it
            continue
        factory, accept = Image.OPEN[form]
        stream.seek(0)
        try:
            accepted = accept is None or accept(prefix)
            if isinstance(accepted, str):  # recognised, but this Pillow was built without the decoder
                raise ImageError(f"{name}: {accepted}")
            if not accepted:
                continue
            image = factory(stream, name)
        except ImageError:
            raise
        except Exception as error:  # a parser fed arbitrary bytes may raise anything
            raise ImageError(f"{name}: damaged {form} file ({_reason(error)})") from error
        return _load(image, name, max_pixels, least_side)
    raise ImageError(f"{name}: not a picture of a known format ({', '.join(_FORMATS)})")


def _load(image: Image.Image, name: str, max_pixels: int, least_side: int | None) -> Image.Image:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: declares {width}×{height} pixels, more than the limit of {max_pixels}; "
            "scale it down first, or raise max_pixels if you trust it"
        )
    if not width * height:
        raise ImageError(f"{name}: is {width}×{height} pixels; expected at least one")
    try:
        if least_side is not None:
            image.draft(None, (least_side, least_side))  # nothing where the format is not JPEG
        image.load()
    except Exception as error:  # a decoder fed arbitrary bytes may raise anything
        raise ImageError(f"{name}: damaged or cut short ({_reason(error)})") from error
    return image


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it rewrites the metadata too, and fails where that is damaged.
    orientation = None
    with contextlib.suppress(Exception):  # damaged EXIF data is no reason to lose the picture
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    undo = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if undo is None else image.transpose(undo)


def _eight_bit(image: Image.Image) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32] | None]:
    """Return (sRGB [H, W, 3], alpha [H, W] in 0..1 or None) of a picture with up to eight bits a channel."""
    profile = image.info.get("icc_profile")
    alpha = None
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        image = image.convert("LA" if grey else "RGBA")
        alpha = _unit(np.asarray(image.getchannel("A")))
        image = image.convert("L" if grey else "RGB")
    elif image.mode in ("1", "P", "PA", "RGBX", "YCbCr", "HSV"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    if image.mode == "LAB":
        image = _to_srgb(image, ImageCms.createProfile("LAB"))
    elif profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, TypeError, ValueError):
            image = _to_srgb(image, io.BytesIO(profile))
    return np.asarray(image.convert("RGB")), alpha


def _deep_grey(image: Image.Image, name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """Return (sRGB [H, W, 3] in 0..1, alpha [H, W] or None) of greyscale with 16 bits or floating point."""
    values = np.asarray(image)
    top = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= top):  # written so that NaN fails too
        raise ImageError(
            f"{name}: {image.mode} pixels reach from {values.min():g} to {values.max():g}; expected 0..{top:g}"
        )
    alpha = None
    if (key := image.info.get("transparency")) is not None:
        alpha = (values != key).astype(np.float32)
    grey = (values / top).astype(np.float32)
    if profile := image.info.get("icc_profile"):
        # ImageCms takes eight bits at most, so the profile's curve is read off a ramp and interpolated.
        ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis])
        with contextlib.suppress(ImageCms.PyCMSError, OSError, TypeError, ValueError):
            curve = _unit(np.asarray(_to_srgb(ramp, io.BytesIO(profile))))[0]
            stops = np.linspace(0.0, 1.0, 256)
            channels = [np.interp(grey, stops, curve[:, channel]) for channel in range(3)]
            return np.stack(channels, axis=-1).astype(np.float32), alpha
    return np.repeat(grey[..., np.newaxis], 3, axis=-1), alpha


def _to_srgb(image: Image.Image, profile: Any) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image,
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=_BLACK_POINT_COMPENSATION,  # type: ignore[arg-type]  # lcms2 takes the plain number too
    )
    assert converted is not None  # None only for inPlace=True
    return converted


def _unit(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return uint8 as float32 in 0..1; leave floats alone."""
    return values.astype(np.float32) / np.float32(255) if values.dtype == np.uint8 else values
