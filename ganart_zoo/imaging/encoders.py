"""Encodes pixels as picture files, with the record and the capture date in each format's metadata. Torch-free."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.files import whole_file
from ganart_zoo.imaging.formats import Format
from ganart_zoo.imaging.record import EXIF_IFD, EXIF_USER_COMMENT, PNG_KEYWORD, Record, to_user_comment
from ganart_zoo.imaging.row_writers import Levels, write_png, write_tiff
from ganart_zoo.imaging.source_type import MADE_BY_A_MODEL, jpeg_xmp

__all__ = ["EncoderError", "check_longest", "write_image", "write_rows", "write_whole"]


class EncoderError(ImageError):
    """An encoder refused a picture."""


def check_longest(form: Format, height: int, width: int) -> None:
    """Raise ImageError where a format cannot hold so long a side."""
    if max(height, width) > form.longest:
        raise ImageError(f"{width}×{height} is more than the {form.longest} pixels a side of {form.name}; save as .png")


def write_rows(
    stream: BinaryIO,
    form: Format,
    rows: Iterable[Levels],
    height: int,
    width: int,
    *,
    depth: int = 8,
    quality: int = 95,
    record: Callable[[], Record] | None = None,
    taken: str | None = None,
) -> None:
    """Write a picture from rows that fill it; formats other than PNG and TIFF collect them first.

    Args:
        stream: Can also be read, and can seek.
        form: As `formats.format_of` says.
        rows: They fill the picture, from top to bottom.
        height: Of the picture.
        width: Of the picture.
        depth: Bits of each channel; 16 for PNG and TIFF only.
        quality: 1..100 for formats with loss.
        record: Returns how the picture was made; called after the last row.
        taken: When the photo was taken, as EXIF has it.
    """
    if form.streams:
        write = write_png if form.name == "PNG" else write_tiff
        write(stream, rows, height, width, depth=depth, record=record, taken=taken)
        return
    whole, top = np.empty((height, width, 3), np.uint8), 0
    for part in rows:
        whole[top : top + len(part)] = part[: height - top]
        top += len(part)
    made = None if record is None else record()
    write_image(stream, form, Image.fromarray(whole), quality=quality, record=made, taken=taken)


def write_image(
    stream: BinaryIO, form: Format, image: Image.Image, *, quality: int, record: Record | None, taken: str | None
) -> None:
    """Write an 8-bit picture in a format other than TIFF; arguments are those of `write_rows`."""
    options = _options(form.name, quality, record, taken)
    if form.name == "HEIF":
        import pillow_heif

        pillow_heif.from_pillow(image).save(stream, **options)
    else:
        image.save(stream, format=form.name, **options)


def _options(form: str, quality: int, record: Record | None, taken: str | None) -> dict[str, Any]:
    """Return the arguments of Pillow's `save` for this format."""
    options: dict[str, Any] = {}
    about: dict[int, Any] = {} if taken is None else {ExifTags.Base.DateTimeOriginal: taken}
    if record is not None and form != "PNG":
        about[EXIF_USER_COMMENT] = to_user_comment(record)
    if about:
        exif = Image.Exif()
        exif[EXIF_IFD] = about
        options["exif"] = exif.tobytes() if form == "HEIF" else exif
    if form == "PNG":
        if record is not None:
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_text(PNG_KEYWORD, record.to_text())
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", MADE_BY_A_MODEL)
        return options
    options["quality"] = quality
    # halved colour resolution blurs thin saturated strokes
    if form in ("JPEG", "AVIF"):
        options["subsampling"] = "4:4:4"
    elif form == "HEIF":
        options["chroma"] = 444
    if record is not None:
        if form == "JPEG":
            options["extra"] = jpeg_xmp(MADE_BY_A_MODEL)
        else:
            options["xmp"] = MADE_BY_A_MODEL.encode()
    return options


def write_whole(target: Path, form: Format, write: Callable[[BinaryIO], None]) -> None:
    """Write to a file beside the target and rename it, so that the target is never incomplete.

    Raises:
        ImageError: It cannot be written.
        EncoderError: The encoder refused, and not the disk.
    """
    try:
        with whole_file(target) as part, part.open("x+b") as stream:
            write(stream)
    except FileNotFoundError:
        folder = Path(os.path.realpath(target)).parent
        raise ImageError(f"{target}: not written: the folder {folder} does not exist; create it first") from None
    except ImageError:  # which says all
        raise
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # encoders raise it without a number
            raise ImageError(f"{target}: not written as {form.name}: {error.strerror}") from None
        reason = " ".join(str(error).split()) or type(error).__name__
        raise EncoderError(f"{target}: not written as {form.name}: {reason}") from None
