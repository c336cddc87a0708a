"""Loads and saves pictures as tensors, resizes them, and converts them from and to Pillow images.

A picture is sRGB, NCHW, 0 black to 1 white. Loaded pictures lie in 0..1, and saved pictures are clamped to it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.imaging.decode import MAX_PIXELS, PictureSource, decode, picture_name
from ganart_zoo.imaging.files import whole_file
from ganart_zoo.imaging.record import EXIF_IFD, EXIF_USER_COMMENT, PNG_KEYWORD, Record, to_user_comment
from ganart_zoo.imaging.source_type import MADE_BY_A_MODEL, jpeg_xmp

__all__ = ["ResizeMode", "check_suffix", "encode", "from_pil", "load", "resize", "save", "single_picture", "to_pil"]

ResizeMode = Literal["bicubic", "bilinear", "nearest"]

#: For each suffix, Pillow's name of the format and the longest side that it supports.
_WRITABLE = {
    ".png": ("PNG", 2**31 - 1),
    ".jpg": ("JPEG", 65500),
    ".jpeg": ("JPEG", 65500),
    ".webp": ("WEBP", 16383),
}


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
    values = single_picture(images)
    broken = values.numel() - int(torch.isfinite(values).sum())
    if broken:
        raise ImageError(
            f"{broken} of the picture's {values.numel()} values are NaN or infinite; the run that made it has diverged"
        )
    levels = values.clamp(0, 1).mul_(255).round_().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def save(
    images: Tensor,
    path: str | os.PathLike[str],
    *,
    record: Record | None = None,
    quality: int = 95,
    taken: str | None = None,
) -> None:
    """Write one picture as PNG, JPEG or WebP, by the suffix of `path`. The file appears complete or not at all.

    Args:
        images: [3, H, W] or [1, 3, H, W], floating point; clamped to 0..1 and rounded to 8 bits.
        path: `.png` (lossless), `.jpg`, `.jpeg` or `.webp`. An existing file is replaced; its folder must exist.
        record: How the picture was made. It is stored in a text chunk of a PNG, or else in EXIF's UserComment; beside
            it, an XMP packet says by IPTC's term for it that a model made the picture.
        quality: 1..100 for JPEG and WebP. JPEG keeps full colour resolution.
        taken: When the photo was taken, as `decode.capture_date` returns it; EXIF's DateTimeOriginal.

    Raises:
        ImageError: The suffix is unknown, the picture is invalid (see `to_pil`) or too large for the format, the record
            is too long for it, or the file cannot be written.
        SettingsError: `quality` is out of range.
    """
    target = Path(path)
    check_suffix(target)
    form, _ = _WRITABLE[target.suffix.lower()]
    try:
        image, options = _prepared(images, target.suffix, record, quality, taken)
    except ImageError as error:
        raise ImageError(f"{target}: not written: {error}") from None
    _write_whole(image, target, form, options)


def encode(images: Tensor, form: str, *, record: Record | None = None, quality: int = 95) -> bytes:
    """Return the bytes of the file that `save` would write; its arguments and errors.

    Args:
        images: [3, H, W] or [1, 3, H, W], floating point.
        form: `"png"`, `"jpg"`, `"jpeg"` or `"webp"`.
        record: How the picture was made.
        quality: 1..100 for JPEG and WebP.
    """
    if f".{form}" not in _WRITABLE:
        raise ImageError(f"format is {form!r:.20}, expected one of {', '.join(name[1:] for name in _WRITABLE)}")
    image, options = _prepared(images, f".{form}", record, quality)
    stream = io.BytesIO()
    try:
        image.save(stream, **options)
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be encoded as {form}: {error}") from None
    return stream.getvalue()


def _prepared(
    images: Tensor, suffix: str, record: Record | None, quality: int, taken: str | None = None
) -> tuple[Image.Image, dict[str, Any]]:
    """Return the Pillow image of a picture and the arguments with which it is written."""
    if not 1 <= quality <= 100:
        raise SettingsError(f"quality is {quality}; expected 1..100")
    form, longest = _WRITABLE[suffix.lower()]
    image = to_pil(images)
    if max(image.size) > longest:
        raise ImageError(
            f"{image.width}×{image.height} is more than the {longest} pixels a side of {form}; save as .png"
        )
    return image, _encoder_options(form, quality, record, taken)


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Raise ImageError if `save` cannot write the suffix of `path`. Call it before long work."""
    suffix = Path(path).suffix
    if suffix.lower() not in _WRITABLE:
        raise ImageError(
            f"{os.fspath(path)}: cannot write {repr(suffix) if suffix else 'a file without a suffix'}; "
            f"end the name with one of {', '.join(_WRITABLE)}"
        )


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


def _encoder_options(form: str, quality: int, record: Record | None, taken: str | None) -> dict[str, Any]:
    """Return the arguments of Pillow's `save` for this format."""
    options: dict[str, Any] = {"format": form}
    about: dict[int, Any] = {} if taken is None else {ExifTags.Base.DateTimeOriginal: taken}
    if record is not None and form != "PNG":
        about[EXIF_USER_COMMENT] = to_user_comment(record)
    if about:
        options["exif"] = Image.Exif()
        options["exif"][EXIF_IFD] = about
    if form == "PNG":
        if record is not None:
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_text(PNG_KEYWORD, record.to_text())
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", MADE_BY_A_MODEL)
        return options
    options["quality"] = quality
    if form == "JPEG":
        options["subsampling"] = "4:4:4"  # halved colour resolution blurs thin saturated strokes
    if record is not None:
        if form == "WEBP":
            options["xmp"] = MADE_BY_A_MODEL.encode()
        else:
            options["extra"] = jpeg_xmp(MADE_BY_A_MODEL)
    return options


def _write_whole(image: Image.Image, target: Path, form: str, options: dict[str, Any]) -> None:
    """Write to a file beside the target and rename it, so that the target is never incomplete."""
    try:
        with whole_file(target) as part, part.open("xb") as stream:
            image.save(stream, **options)
    except FileNotFoundError:
        folder = Path(os.path.realpath(target)).parent
        raise ImageError(f"{target}: not written: the folder {folder} does not exist; create it first") from None
    except (OSError, ValueError) as error:  # the encoders refuse with ValueError
        raise ImageError(f"{target}: not written as {form}: {getattr(error, 'strerror', None) or error}") from None
