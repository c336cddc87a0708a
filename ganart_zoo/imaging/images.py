"""Loads and saves pictures as tensors, resizes them, and converts them from and to Pillow images.

A picture is sRGB, NCHW, 0 black to 1 white. Loaded pictures lie in 0..1, and saved pictures are clamped to it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.imaging.decode import MAX_PIXELS, PictureSource, decode, picture_name
from ganart_zoo.imaging.encoders import EncoderError, check_longest, write_image, write_rows, write_whole
from ganart_zoo.imaging.formats import Format, check_suffix, format_of, writable_forms
from ganart_zoo.imaging.record import Record
from ganart_zoo.imaging.row_writers import Levels

__all__ = [
    "ResizeMode",
    "check_suffix",
    "encode",
    "from_pil",
    "load",
    "resize",
    "save",
    "single_picture",
    "to_levels",
    "to_pil",
]

ResizeMode = Literal["bicubic", "bilinear", "nearest"]

_ROWS = 256
"""Rows that are converted at once."""


def load(
    source: PictureSource,
    *,
    size: int | None = None,
    ground: Sequence[float] = (1.0, 1.0, 1.0),
    max_pixels: int = MAX_PIXELS,
    least_side: int | None = None,
    long_side: int | None = None,
) -> Tensor:
    """Read a picture of any format as an upright sRGB tensor [1, 3, H, W], float32 in 0..1.

    Args:
        source: A path, the bytes of a picture file, or a Pillow image. Of an animation, the first frame is read.
        size: The long side of the result, as for `resize`; None keeps the stored size.
        ground: The sRGB colour behind transparent pixels, each component in 0..1.
        max_pixels: A picture of more pixels than this, as stored or after scaling, is refused before memory is
            allocated for it.
        least_side: For a picture that will be scaled down: a JPEG is decoded at a half, a quarter or an eighth of its
            size, as long as no side is then shorter than this. None decodes it at full size.
        long_side: For a picture that will be scaled down to this long side: a JPEG of more than 16 megapixels is
            decoded smaller, at twice this size or more.

    Raises:
        ImageError: `source` does not exist, cannot be read, is not a picture, is damaged or truncated, or is too large.
            The message names it.
        SettingsError: `size`, `ground` or `max_pixels` is out of range.
    """
    decoded = decode(source, ground=ground, max_pixels=max_pixels, least_side=least_side, long_side=long_side)
    pixels = torch.tensor(decoded, device="cpu")
    images = pixels.permute(2, 0, 1).unsqueeze(0).to(torch.float32, memory_format=torch.contiguous_format)
    if pixels.dtype == torch.uint8:
        images = images.div_(255)
    if size is None:
        return images
    height, width = _scaled_sides(images, size)
    if height * width > max_pixels:
        raise ImageError(
            f"{picture_name(source)}: would have {width}×{height} pixels at size {size}, more than the limit of "
            f"{max_pixels}; choose a smaller size"
        )
    return resize(images, size).clamp_(0, 1)  # bicubic overshoots at edges


def from_pil(image: Image.Image, *, ground: Sequence[float] = (1.0, 1.0, 1.0)) -> Tensor:
    """Convert a Pillow image of any mode, with its orientation, profile and transparency, as `load` does."""
    return load(image, ground=ground)


def single_picture(images: Tensor) -> Tensor:
    """Return a picture of shape [3, H, W] or [1, 3, H, W] as float32 [3, H, W] on the CPU, detached.

    Raises:
        ImageError: The picture has another shape, or its dtype is not floating point.
    """
    if images.ndim == 4 and len(images) > 1:
        raise ImageError(f"{len(images)} pictures were given where one was expected; combine them with to_grid first")
    if images.ndim not in (3, 4) or images.shape[-3] != 3 or 0 in images.shape:
        raise ImageError(f"a picture of shape {list(images.shape)} was given; expected [3, H, W] or [1, 3, H, W]")
    if not images.is_floating_point():
        raise ImageError(f"a picture of {images.dtype} was given; expected floating point, 0 black to 1 white")
    return images.detach().reshape(images.shape[-3:]).to("cpu", torch.float32)


def to_pil(images: Tensor) -> Image.Image:
    """Return one picture as a Pillow RGB image, clamped to 0..1 and rounded to the nearest of 256 levels.

    Args:
        images: [3, H, W] or [1, 3, H, W], floating point, on any device.

    Raises:
        ImageError: The shape or dtype is wrong, or a value is NaN or infinite.
    """
    return Image.fromarray(to_levels(single_picture(images)))


def to_levels(values: Tensor, depth: int = 8) -> Levels:
    """Return the pixels of a picture `[3, H, W]` or of some of its rows, `[H, W, 3]`, clamped to 0..1 and rounded.

    Args:
        values: Float32, on the CPU.
        depth: 8 for uint8, 16 for uint16.

    Raises:
        ImageError: A value is NaN or infinite.
    """
    height, width = values.shape[1:]
    levels = np.empty((height, width, 3), np.uint16 if depth == 16 else np.uint8)
    broken = 0
    for top in range(0, height, _ROWS):  # copies of large pictures would be in the way
        rows = values[:, top : top + _ROWS]
        broken += rows.numel() - int(torch.isfinite(rows).sum())
        if not broken:
            rounded = rows.clamp(0, 1).mul_(2**depth - 1).round_()
            levels[top : top + _ROWS] = rounded.permute(1, 2, 0).numpy()
    if broken:
        raise ImageError(
            f"{broken} of the picture's {values.numel()} values are NaN or infinite; the run that made it has diverged"
        )
    return levels


def save(
    images: Tensor,
    path: str | os.PathLike[str],
    *,
    record: Record | None = None,
    quality: int = 95,
    taken: str | None = None,
    depth: int = 8,
) -> None:
    """Write one picture in the format that the suffix of `path` says. The file appears complete or not at all.

    Args:
        images: [3, H, W] or [1, 3, H, W], floating point; clamped to 0..1 and rounded to the bits of a channel.
        path: `.png` (lossless), `.jpg`, `.jpeg`, `.webp`, `.avif`, and with the extra `ganart-zoo[photos]` `.tif`,
            `.tiff` (lossless), `.heic` or `.heif`. An existing file is replaced; its folder must exist.
        record: How the picture was made. It is stored in a text chunk of a PNG, or else in EXIF's UserComment; beside
            it, an XMP packet says by IPTC's term for it that a model made the picture.
        quality: 1..100 for formats with loss. Colour keeps its full resolution, but for WebP.
        taken: When the photo was taken, as `decode.capture_date` returns it; EXIF's DateTimeOriginal.
        depth: Bits of each channel: 8, or 16 for PNG and TIFF.

    Raises:
        ImageError: The suffix is unknown or needs an extra that is missing, the picture is invalid (see `to_pil`) or
            too large for the format, the record is too long for it, or the file cannot be written.
        SettingsError: `quality` or `depth` is out of range.
    """
    target = Path(path)
    check_suffix(target, depth)
    form = format_of(target)
    try:
        write = _writer(images, form, depth, record, quality, taken)
    except ImageError as error:
        raise ImageError(f"{target}: not written: {error}") from None
    try:
        write_whole(target, form, write)
    except EncoderError as error:
        kept = target.with_name(f"{target.name}.png")
        if form.name == "PNG" or kept.exists():
            raise
        save(images, kept, record=record, taken=taken, depth=depth)
        raise ImageError(f"{error}; the picture is kept as {kept}") from None


def encode(images: Tensor, form: str, *, record: Record | None = None, quality: int = 95, depth: int = 8) -> bytes:
    """Return the bytes of the file that `save` would write; its arguments and errors.

    Args:
        images: [3, H, W] or [1, 3, H, W], floating point.
        form: A suffix that `save` accepts, without its dot: `"png"`, `"jpg"`, ...
        record: How the picture was made.
        quality: 1..100 for formats with loss.
        depth: Bits of each channel.
    """
    if form not in writable_forms():
        raise ImageError(f"format is {form!r:.20}, expected one of {', '.join(writable_forms())}")
    check_suffix(f"picture.{form}", depth)
    write, stream = _writer(images, format_of(f"picture.{form}"), depth, record, quality), io.BytesIO()
    try:
        write(stream)
    except (OSError, ValueError, RuntimeError) as error:  # which encoders raise
        raise ImageError(f"cannot be encoded as {form}: {error}") from None
    return stream.getvalue()


def _writer(
    images: Tensor, form: Format, depth: int, record: Record | None, quality: int, taken: str | None = None
) -> Callable[[BinaryIO], None]:
    """Return what writes a picture to a stream."""
    if not 1 <= quality <= 100:
        raise SettingsError(f"quality is {quality}; expected 1..100")
    levels = to_levels(single_picture(images), depth)
    height, width = levels.shape[:2]
    check_longest(form, height, width)
    if depth == 8 and form.name != "TIFF":
        image = Image.fromarray(levels)
        return lambda stream: write_image(stream, form, image, quality=quality, record=record, taken=taken)
    made = None if record is None else lambda: record
    return lambda stream: write_rows(stream, form, [levels], height, width, depth=depth, record=made, taken=taken)


def resize(images: Tensor, size: int | tuple[int, int], *, mode: ResizeMode = "bicubic") -> Tensor:
    """Scale pictures differentiably, with antialiasing when they become smaller.

    The filters are those of Pillow. Bicubic overshoots 0..1 at hard edges and is not clamped, so that gradients pass.

    Args:
        images: [n, c, H, W], float32 or float64, with any number of channels, such as masks.
        size: The long side of the result; the short side follows in proportion and is at least 1. Or (height, width)
            in any proportion.
        mode: "bicubic", "bilinear", or "nearest" for masks whose values must not be blended.

    Returns:
        [n, c, h, w]; `images` itself if it has that size already.

    Raises:
        SettingsError: A side is not positive, or `mode` is unknown.
    """
    if mode not in ("bicubic", "bilinear", "nearest"):
        raise SettingsError(f"resize mode is {mode!r}; expected 'bicubic', 'bilinear' or 'nearest'")
    height, width = images.shape[-2:]
    wanted = _scaled_sides(images, size) if isinstance(size, int) else size
    if min(wanted) < 1 or (isinstance(size, int) and size < 1):
        raise SettingsError(f"size is {size}; expected a positive number of pixels")
    if wanted == (height, width):
        return images
    if mode == "nearest":
        return functional.interpolate(images, size=wanted, mode="nearest-exact")
    return functional.interpolate(images, size=wanted, mode=mode, antialias=True, align_corners=False)


def _scaled_sides(images: Tensor, size: int) -> tuple[int, int]:
    """Return the height and width of pictures once their long side is `size`."""
    height, width = images.shape[-2:]
    long_side = max(height, width)
    return max(1, round(height * size / long_side)), max(1, round(width * size / long_side))
