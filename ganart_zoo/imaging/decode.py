"""Decodes picture files to upright sRGB pixels, with Pillow and NumPy. Torch-free.

`images.load` turns the result into a tensor; `record` compares pixels with it.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms

from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.imaging.bare import without_metadata
from ganart_zoo.imaging.deep import DeepColour, is_deep, read_deep
from ganart_zoo.imaging.heif import PREFIX, is_heif, open_heif

__all__ = [
    "MAX_PIXELS",
    "PictureSource",
    "blended",
    "capture_date",
    "decode",
    "photo_tags",
    "picture_name",
    "picture_sides",
    "read",
    "read_deep_colour",
    "upright",
]


class _Smaller(NamedTuple):
    """What a picture is read for, where that is a smaller one."""

    least_side: int | None = None
    long_side: int | None = None

    def least(self, width: int, height: int) -> tuple[int, int]:
        """Return the least width and height to decode a picture of this size at."""
        if self.least_side is not None:
            return self.least_side, self.least_side
        if self.long_side is None or width * height <= _LARGE:
            return width, height
        share = min(1.0, 2 * self.long_side / max(width, height))
        return math.ceil(width * share), math.ceil(height * share)


class _DamagedError(ImageError):
    """Pillow could not read a file that it recognised."""


PictureSource: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image"

#: The default limit of `read` and `decode`: 134 megapixels, which take 1.5 GiB as float32.
MAX_PIXELS = 2**27

_TAKEN = ExifTags.Base.DateTimeOriginal
_DATE = re.compile(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d")

# A JPEG of up to this many pixels is read whole even for a small result, as the first releases did.
_LARGE = 2**24

# Bytes of a damaged file that are read again without metadata.
_MOST_BYTES = 2**28

# Pillow can open many more formats. These are recognised by their first bytes, and none passes the file to another
# program, as EPS does to Ghostscript.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF")
_HEIC = "HEIC"

# The operation that undoes each EXIF orientation.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_UPRIGHT_ARRAY: dict[int, Callable[[npt.NDArray[np.uint16]], npt.NDArray[np.uint16]]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}

# lcms2's cmsFLAGS_BLACKPOINTCOMPENSATION; ImageCms has a name for it only since Pillow 10.2.
_BLACK_POINT_COMPENSATION = 0x2000


def read(
    source: PictureSource,
    *,
    max_pixels: int = MAX_PIXELS,
    least_side: int | None = None,
    long_side: int | None = None,
) -> Image.Image:
    """Return the first frame of a picture, loaded and otherwise as stored.

    Metadata that cannot be read is ignored, as long as the pixels can be.

    Args:
        source: A path, the bytes of a picture file, or a Pillow image, which is returned itself.
        max_pixels: A picture that declares more pixels than this is refused before memory is allocated for it.
        least_side: For a picture that will be scaled down: a JPEG is decoded at a half, a quarter or an eighth of its
            size, as long as no side is then shorter than this. That takes a fraction of the time. None decodes it at
            full size.
        long_side: For a picture that will be scaled down to this long side: a JPEG of more than 16 megapixels is
            decoded smaller, at twice this size or more, and counts as that small.

    Raises:
        ImageError: `source` does not exist, cannot be read, is not a picture, is damaged or truncated, or is too large.
        SettingsError: `max_pixels` is not positive.
    """
    if max_pixels < 1:
        raise SettingsError(f"max_pixels is {max_pixels}; expected a positive number of pixels")
    name, smaller = picture_name(source), _Smaller(least_side, long_side)
    if isinstance(source, Image.Image):
        return _load(source, name, max_pixels, _Smaller())
    if isinstance(source, bytes):
        return _read_stream(io.BytesIO(source), name, max_pixels, smaller)
    try:
        with Path(source).open("rb") as stream:
            return _read_stream(stream, name, max_pixels, smaller)
    except FileNotFoundError:
        raise ImageError(f"{name}: there is no such file; check the path") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: is a folder; expected a picture file") from None
    except OSError as error:
        raise ImageError(f"{name}: cannot be opened ({error.strerror or error})") from None


def picture_sides(source: PictureSource) -> tuple[int, int]:
    """Return the width and height that a picture declares, as stored; only its header is read.

    Raises:
        ImageError: As for `read`.
    """
    if isinstance(source, Image.Image):
        return source.size
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as stream:
            return _recognised(stream, picture_name(source)).size
    except (OSError, ImageError):
        return read(source).size  # which says what is wrong, or reads it without damaged metadata


def capture_date(source: PictureSource) -> str | None:
    """Return when a photo was taken, as EXIF has it: `2026:11:28 12:36:00`. None where the file does not say.

    Only the header is read.
    """
    taken = photo_tags(source).get(_TAKEN)
    return taken if isinstance(taken, str) and _DATE.fullmatch(taken) else None


def photo_tags(source: PictureSource) -> dict[int, Any]:
    """Return what EXIF says of how a photo was taken, by number of the tag; empty for damaged data or files.

    Only the header is read.
    """
    try:
        if isinstance(source, Image.Image):
            return source.getexif().get_ifd(ExifTags.IFD.Exif)
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as stream:
            return _recognised(stream, picture_name(source)).getexif().get_ifd(ExifTags.IFD.Exif)
    except Exception:  # damaged EXIF data is ignored; that a file cannot be read is said where its pixels are read
        return {}


def decode(
    source: PictureSource,
    *,
    ground: Sequence[float] = (1.0, 1.0, 1.0),
    max_pixels: int = MAX_PIXELS,
    least_side: int | None = None,
    long_side: int | None = None,
) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Return the upright sRGB pixels of a picture's first frame, with transparency blended over `ground`.

    Embedded ICC profiles are converted to sRGB (relative colorimetric, black point compensation). A profile that is
    damaged or is for another kind of picture is ignored, as in browsers. CMYK without a profile is taken as the
    complement of RGB. Colour of 16 bits a channel is read whole from PNG and TIFF where the extra `ganart-zoo[photos]`
    is installed; else its upper eight bits are.

    Args:
        source: As for `read`.
        ground: The sRGB colour behind transparent pixels, each component in 0..1. Blended in sRGB, as in browsers.
        max_pixels: As for `read`.
        least_side: As for `read`.
        long_side: As for `read`.

    Returns:
        Pixels [H, W, 3]: uint8 in 0..255 if the file has at most eight bits per channel, else float32 in 0..1.

    Raises:
        ImageError: As for `read`; or floating-point pixels lie outside 0..1; or the pixel format cannot be converted.
        SettingsError: `ground` is not three numbers in 0..1, or `max_pixels` is not positive.
    """
    if len(ground) != 3 or not all(0.0 <= part <= 1.0 for part in ground):
        raise SettingsError(f"ground is {tuple(ground)}; expected red, green and blue, each in 0..1")
    if (deep := read_deep_colour(source, max_pixels=max_pixels)) is not None:
        return blended(*deep.rows(0, len(deep.values)), ground)
    name = picture_name(source)
    image = upright(read(source, max_pixels=max_pixels, least_side=least_side, long_side=long_side))
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
    return blended(colour, alpha, ground)


def blended(
    colour: npt.NDArray[Any], alpha: npt.NDArray[np.float32] | None, ground: Sequence[float]
) -> npt.NDArray[Any]:
    """Return colour `[H, W, 3]` over a ground; itself where nothing is transparent."""
    if alpha is None or alpha.min() == 1.0:
        return colour
    share = alpha[..., np.newaxis]
    return _unit(colour) * share + np.asarray(ground, np.float32) * (1.0 - share)


def picture_name(source: PictureSource) -> str:
    """Return the name of the picture for error messages."""
    if isinstance(source, bytes):
        return f"picture of {len(source)} bytes"
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "Pillow image")
    return os.fspath(source)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _read_stream(stream: BinaryIO, name: str, max_pixels: int, smaller: _Smaller) -> Image.Image:
    """Decode a file, and if that fails, its copy without metadata."""
    try:
        return _decoded(stream, name, max_pixels, smaller)
    except _DamagedError:
        stream.seek(0)
        bare = without_metadata(stream.read(_MOST_BYTES))
        if bare is None:
            raise
        with contextlib.suppress(ImageError):
            image = _decoded(io.BytesIO(bare.data), name, max_pixels, smaller)
            image.info.update(bare.info)
            return image
        raise


def _decoded(stream: BinaryIO, name: str, max_pixels: int, smaller: _Smaller) -> Image.Image:
    return _load(_recognised(stream, name), name, max_pixels, smaller)


def _recognised(stream: BinaryIO, name: str) -> Image.Image:
    """Return a picture of which only the header is read."""
    prefix = stream.read(PREFIX)
    if not prefix:
        raise ImageError(f"{name}: is empty (0 bytes); expected a picture")
    if is_heif(prefix):
        stream.seek(0)
        try:
            return open_heif(stream, name)
        except ImageError:
            raise
        except Exception as error:  # a parser may raise anything for arbitrary bytes
            raise _DamagedError(f"{name}: damaged {_HEIC} file ({_reason(error)})") from error
    prefix = prefix[:16]
    # Image.open has a bomb check with process-wide settings, and would try every format.
    for form in _formats():
        factory, accept = Image.OPEN[form]
        stream.seek(0)
        try:
            accepted = accept is None or accept(prefix)
            if isinstance(accepted, str):  # recognised, but not supported by this build of Pillow
                raise ImageError(f"{name}: {accepted}")
            if not accepted:
                continue
            return factory(stream, name)
        except ImageError:
            raise
        except Exception as error:  # a parser may raise anything for arbitrary bytes
            raise _DamagedError(f"{name}: damaged {form} file ({_reason(error)})") from error
    raise ImageError(f"{name}: not a picture of a known format ({', '.join((*_FORMATS, _HEIC))})")


def _formats() -> Iterator[str]:
    """Yield the formats that this build of Pillow supports; the rare ones, which take time to load, come last."""
    Image.preinit()
    common = [form for form in _FORMATS if form in Image.OPEN]
    yield from common
    Image.init()
    yield from (form for form in _FORMATS if form in Image.OPEN and form not in common)


def _load(image: Image.Image, name: str, max_pixels: int, smaller: _Smaller) -> Image.Image:
    width, height = image.size
    if not width * height:
        raise ImageError(f"{name}: is {width}×{height} pixels; expected at least one")
    try:
        image.draft(None, smaller.least(width, height))  # has no effect on formats other than JPEG
    except Exception as error:  # a decoder may raise anything for arbitrary bytes
        raise _DamagedError(f"{name}: damaged or cut short ({_reason(error)})") from error
    if image.width * image.height > max_pixels:
        raise _too_large(name, (width, height), max_pixels)
    try:
        image.load()
    except Exception as error:  # a decoder may raise anything for arbitrary bytes
        raise _DamagedError(f"{name}: damaged or cut short ({_reason(error)})") from error
    return image


def _too_large(name: str, sides: tuple[int, int], max_pixels: int) -> ImageError:
    return ImageError(
        f"{name}: declares {sides[0]}×{sides[1]} pixels, more than the limit of {max_pixels}; "
        "scale it down with another program first, or raise --max-pixels (max_pixels) where that can be set"
    )


def upright(image: Image.Image) -> Image.Image:
    """Return the image turned as its EXIF orientation asks for."""
    undo = _UPRIGHT.get(_orientation(image))
    return image if undo is None else image.transpose(undo)


def _orientation(image: Image.Image) -> int:
    # ImageOps.exif_transpose also rewrites the metadata, and fails if that is damaged.
    with contextlib.suppress(Exception):  # damaged EXIF data is ignored
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        return orientation if isinstance(orientation, int) else 1
    return 1


def read_deep_colour(source: PictureSource, *, max_pixels: int = MAX_PIXELS) -> DeepColour | None:
    """Return an upright picture whose colour has 16 bits a channel; None for any other, and where an extra is missing.

    That a file cannot be read is left to `read` to say.

    Args:
        source: As for `read`.
        max_pixels: As for `read`.

    Raises:
        ImageError: The picture is too large.
    """
    if isinstance(source, Image.Image):
        return None
    name = picture_name(source)
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as stream:
            image = _recognised(stream, name)
            if not is_deep(image):
                return None
            if image.width * image.height > max_pixels:
                raise _too_large(name, image.size, max_pixels)
            orientation = _orientation(image)
            stream.seek(0)
            deep = read_deep(stream, image, name)
    except (OSError, _DamagedError):
        return None
    undo = _UPRIGHT_ARRAY.get(orientation)
    return deep if deep is None or undo is None else deep._replace(values=undo(deep.values))


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
        # ImageCms supports at most eight bits, so the profile's curve is sampled on a ramp and interpolated.
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
        flags=_BLACK_POINT_COMPENSATION,  # type: ignore[arg-type]  # lcms2 accepts the number too
    )
    assert converted is not None  # None only for inPlace=True
    return converted


def _unit(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return uint8 as float32 in 0..1, and floats unchanged."""
    return values.astype(np.float32) / np.float32(255) if values.dtype == np.uint8 else values
