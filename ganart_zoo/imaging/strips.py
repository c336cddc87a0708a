"""Pictures too large for memory as floats: read in rows of uint8 pixels, and written as PNG strip by strip."""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.decode import MAX_PIXELS, PictureSource, read, upright
from ganart_zoo.imaging.files import whole_file
from ganart_zoo.imaging.images import load
from ganart_zoo.imaging.record import PNG_KEYWORD, Record
from ganart_zoo.imaging.source_type import MADE_BY_A_MODEL

__all__ = ["RowSource", "reduced_rows", "save_strips"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2
"""PNG's filter that subtracts the row above."""
_LEVEL = 6
_ROWS = 256
"""Rows that are reduced at once."""


class RowSource:
    """A picture whose rows are converted to floats as they are asked for; it takes a byte for each value.

    Args:
        source: A path, the bytes of a picture file, or a Pillow image.
        max_pixels: As for `imaging.load`.

    Raises:
        ImageError: As for `imaging.load`.
    """

    def __init__(self, source: PictureSource, *, max_pixels: int = MAX_PIXELS) -> None:
        self._image = upright(read(source, max_pixels=max_pixels))
        self._image.info.pop("exif", None)  # or each strip would be turned again
        self.width, self.height = self._image.size

    def __call__(self, top: int, bottom: int) -> Tensor:
        """Return the rows from `top` to before `bottom`, `[1, 3, rows, W]`, float32 in 0..1, as `load` returns them."""
        return load(self._image.crop((0, top, self.width, bottom)))

    def reduced(self, pixels: int) -> Tensor:
        """Return the whole picture with about `pixels` pixels; see `reduced_rows`."""
        return reduced_rows(self, self.height, self.width, pixels)


def reduced_rows(read: Callable[[int, int], Tensor], height: int, width: int, pixels: int) -> Tensor:
    """Return a picture of at most about `pixels` pixels, as means over squares, without a whole one in memory.

    What remains of a side is left out.

    Args:
        read: Returns rows `[1, 3, rows, W]`.
        height: Of the picture.
        width: Of the picture.
        pixels: As many as the result may have; a smaller picture is returned as it is.
    """
    factor = min(math.ceil(math.sqrt(height * width / pixels)), height, width)
    if factor <= 1:
        return read(0, height)
    step = factor * max(1, _ROWS // factor)
    parts = [read(top, min(top + step, height)) for top in range(0, height // factor * factor, step)]
    return torch.cat([functional.avg_pool2d(part, factor) for part in parts if part.shape[-2] >= factor], dim=2)


def save_strips(
    strips: Iterable[Tensor],
    path: str | os.PathLike[str],
    height: int,
    width: int,
    *,
    record: Callable[[], Record] | None = None,
) -> None:
    """Write a PNG from strips `[1, 3, h, W]` in 0..1, from top to bottom, as they come; one strip is in memory.

    The file appears complete or not at all.

    Args:
        strips: They fill the picture.
        path: A `.png`; an existing file is replaced.
        height: Of the picture.
        width: Of the picture.
        record: Returns how the picture was made; called after the last strip.

    Raises:
        ImageError: The strips do not fill the picture, have values that are NaN, or the file cannot be written.
    """
    target = Path(path)
    try:
        with whole_file(target) as part, part.open("xb") as stream:
            stream.write(_SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)))
            deflate, rows = zlib.compressobj(_LEVEL), 0
            above = np.zeros((1, width * 3), np.uint8)
            for strip in strips:
                levels = _levels(strip, width)
                rows += len(levels)
                data = deflate.compress(_filtered(levels, above))
                above = levels[-1:]
                if data:
                    stream.write(_chunk(b"IDAT", data))
            if rows != height:
                raise ImageError(f"{target}: not written: {rows} rows were made of {height}")
            stream.write(_chunk(b"IDAT", deflate.flush()))
            if record is not None:
                text = PNG_KEYWORD.encode() + b"\0" + record().to_text().encode("ascii")
                stream.write(_chunk(b"tEXt", text))
                stream.write(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + MADE_BY_A_MODEL.encode()))
            stream.write(_chunk(b"IEND", b""))
    except FileNotFoundError:
        folder = Path(os.path.realpath(target)).parent
        raise ImageError(f"{target}: not written: the folder {folder} does not exist; create it first") from None
    except OSError as error:
        raise ImageError(f"{target}: not written as PNG: {error.strerror or error}") from None


def _levels(strip: Tensor, width: int) -> npt.NDArray[np.uint8]:
    """Return rows of interleaved levels `[h, 3 W]`."""
    values = strip.detach()[0].cpu()
    if not bool(torch.isfinite(values).all()):
        raise ImageError("the picture has values that are NaN or infinite; the run that made it has diverged")
    levels = values.float().clamp(0, 1).mul_(255).round_().to(torch.uint8)
    return levels.permute(1, 2, 0).reshape(len(values[0]), 3 * width).numpy()


def _filtered(levels: npt.NDArray[np.uint8], above: npt.NDArray[np.uint8]) -> bytes:
    rows = np.empty((levels.shape[0], levels.shape[1] + 1), np.uint8)
    rows[:, 0] = _UP
    rows[:1, 1:] = levels[:1] - above
    rows[1:, 1:] = levels[1:] - levels[:-1]
    return rows.tobytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
