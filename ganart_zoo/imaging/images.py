"""Picture files to tensors and back: load, save, resize, and the way to and from Pillow.

A picture is sRGB, NCHW, 0 black to 1 white. What is loaded lies within 0..1; what is saved is clamped to it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.imaging.decode import MAX_PIXELS, PictureSource, decode
from ganart_zoo.imaging.record import EXIF_IFD, EXIF_USER_COMMENT, PNG_KEYWORD, Record, to_user_comment

__all__ = ["ResizeMode", "check_suffix", "from_pil", "load", "resize", "save", "single_picture", "to_pil"]

ResizeMode = Literal["bicubic", "bilinear", "nearest"]

#: File suffix to Pillow's format and the longest side that the format can hold.
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
) -> Tensor:
    """Read a picture, whatever its format, as an upright sRGB tensor [1, 3, H, W], float32 in 0..1.

    Args:
        source: a path, the bytes of a picture file, or a Pillow image. Of an animation, the first frame counts.
        size: the long side wanted, as for `resize`; None keeps the stored size.
        ground: the sRGB colour behind transparent pixels, each part in 0..1.
        max_pixels: refuse a picture that declares more than this, before anything is allocated for it.
        least_side: for a picture that will be scaled down: decode a JPEG at a half, a quarter or an eighth, as long as
            no side falls below this. None decodes in full.

    Raises:
        ImageError: `source` is missing, unreadable, no picture, damaged, cut short or too large. The message names it.
        SettingsError: `size`, `ground` or `max_pixels` is out of range.
    """
    pixels = torch.tensor(decode(source, ground=ground, max_pixels=max_pixels, least_side=least_side))
    images = pixels.permute(2, 0, 1).unsqueeze(0).to(torch.float32, memory_format=torch.contiguous_format)
    if pixels.dtype == torch.uint8:
        images = images.div_(255)
    if size is None:
        return images
    return resize(images, size).clamp_(0, 1)  # bicubic overshoots at edges


def from_pil(image: Image.Image, *, ground: Sequence[float] = (1.0, 1.0, 1.0)) -> Tensor:
    """Return a Pillow image of any mode as `load` does, orientation, profile and transparency included."""
    return load(image, ground=ground)


def single_picture(images: Tensor) -> Tensor:
    """Return the one picture given as [3, H, W] or [1, 3, H, W], detached, as float32 [3, H, W] on the CPU.

    Raises:
        ImageError: the shape differs, or the dtype is not floating point.
    """
    if images.ndim == 4 and len(images) > 1:
        raise ImageError(f"{len(images)} pictures were given where one was expected; lay them out with to_grid first")
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
        ImageError: the shape or dtype differs, or a value is NaN or infinite.
    """
    values = single_picture(images)
    broken = values.numel() - int(torch.isfinite(values).sum())
    if broken:
        raise ImageError(
            f"{broken} of the picture's {values.numel()} values are NaN or infinite; the run that made it has diverged"
        )
    levels = values.clamp(0, 1).mul_(255).round_().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())


def save(images: Tensor, path: str | os.PathLike[str], *, record: Record | None = None, quality: int = 95) -> None:
    """Write one picture as PNG, JPEG or WebP, chosen by the suffix of `path`; the file appears whole or not at all.

    Args:
        images: [3, H, W] or [1, 3, H, W], floating point; clamped to 0..1 and rounded to 8 bits.
        path: `.png` (lossless), `.jpg`, `.jpeg` or `.webp`. An existing file is replaced; its folder must exist.
        record: how the picture was made, kept inside the file: a text chunk in PNG, EXIF's UserComment in the others.
        quality: 1..100 for JPEG and WebP. JPEG keeps full colour resolution.

    Raises:
        ImageError: the suffix is unknown, the picture is unfit (see `to_pil`) or too large for the format, the record
            is too long for it, or the file cannot be written.
        SettingsError: `quality` is out of range.
    """
    target = Path(path)
    if not 1 <= quality <= 100:
        raise SettingsError(f"quality is {quality}; expected 1..100")
    check_suffix(target)
    form, longest = _WRITABLE[target.suffix.lower()]
    try:
        image = to_pil(images)
    except ImageError as error:
        raise ImageError(f"{target}: not written: {error}") from None
    if max(image.size) > longest:
        raise ImageError(
            f"{target}: not written: {image.width}×{image.height} is more than the {longest} pixels a side of {form}; "
            "save as .png"
        )
    _write_whole(image, target, form, _encoder_options(form, quality, record))


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Raise ImageError unless `save` can write the suffix of `path`; call it before a long run."""
    suffix = Path(path).suffix
    if suffix.lower() not in _WRITABLE:
        raise ImageError(
            f"{os.fspath(path)}: cannot write {repr(suffix) if suffix else 'a file without a suffix'}; "
            f"end the name with one of {', '.join(_WRITABLE)}"
        )


def resize(images: Tensor, size: int | tuple[int, int], *, mode: ResizeMode = "bicubic") -> Tensor:
    """Scale pictures, antialiased when they shrink, differentiably.

    Filters as Pillow's. Bicubic overshoots 0..1 at hard edges and is not clamped, so that gradients pass.

    Args:
        images: [n, c, H, W], float32 or float64; any number of channels, so masks may pass too.
        size: the long side wanted, larger or smaller than now; the short side follows in proportion, at least 1.
            Or (height, width), whatever the proportions.
        mode: "bicubic", "bilinear", or "nearest" for masks that must not blend.

    Returns:
        [n, c, h, w]; `images` itself where it has that size already.

    Raises:
        SettingsError: a side is not positive, or `mode` is unknown.
    """
    if mode not in ("bicubic", "bilinear", "nearest"):
        raise SettingsError(f"resize mode is {mode!r}; expected 'bicubic', 'bilinear' or 'nearest'")
    height, width = images.shape[-2:]
    if isinstance(size, int):
        long_side = max(height, width)
        wanted = (max(1, round(height * size / long_side)), max(1, round(width * size / long_side)))
    else:
        wanted = size
    if min(wanted) < 1 or (isinstance(size, int) and size < 1):
        raise SettingsError(f"size is {size}; expected a positive number of pixels")
    if wanted == (height, width):
        return images
    if mode == "nearest":
        return functional.interpolate(images, size=wanted, mode="nearest-exact")
    return functional.interpolate(images, size=wanted, mode=mode, antialias=True, align_corners=False)


def _encoder_options(form: str, quality: int, record: Record | None) -> dict[str, Any]:
    """Return what Pillow's `save` takes for this format."""
    options: dict[str, Any] = {"format": form}
    if form == "PNG":
        if record is not None:
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_text(PNG_KEYWORD, record.to_text())
        return options
    options["quality"] = quality
    if form == "JPEG":
        options["subsampling"] = "4:4:4"  # halved colour resolution smears thin saturated strokes
    if record is not None:
        exif = Image.Exif()
        exif[EXIF_IFD] = {EXIF_USER_COMMENT: to_user_comment(record)}
        options["exif"] = exif
    return options


def _write_whole(image: Image.Image, target: Path, form: str, options: dict[str, Any]) -> None:
    """Write beside the target and move into place, so that no reader ever meets half a picture."""
    place = Path(os.path.realpath(target))  # what a link points to is replaced, not the link
    # Not tempfile: its files are readable by their owner only, and would stay so after the move.
    part = place.with_name(f".ganart-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as stream:
            image.save(stream, **options)
        part.replace(place)
    except FileNotFoundError:
        raise ImageError(f"{target}: not written: the folder {place.parent} does not exist; create it first") from None
    except (OSError, ValueError) as error:  # the encoders refuse with ValueError
        raise ImageError(f"{target}: not written as {form}: {getattr(error, 'strerror', None) or error}") from None
    finally:
        with contextlib.suppress(OSError):  # gone already where all went well
            part.unlink()
