"""Pictures too large for memory as floats: read in rows of integer pixels, and written strip by strip."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.decode import MAX_PIXELS, PictureSource, blended, read, read_deep_colour, upright
from ganart_zoo.imaging.encoders import check_longest, write_rows, write_whole
from ganart_zoo.imaging.formats import check_suffix, format_of
from ganart_zoo.imaging.images import load, single_picture, to_levels
from ganart_zoo.imaging.record import Record
from ganart_zoo.imaging.row_writers import Levels

__all__ = ["RowSource", "reduced_rows", "reduced_sides", "save_strips"]

_WHITE = (1.0, 1.0, 1.0)
_ROWS = 256
"""Rows that are reduced at once."""


class RowSource:
    """A picture whose rows are converted to floats as they are asked for; it takes a byte or two for each value.

    Args:
        source: A path, the bytes of a picture file, or a Pillow image.
        max_pixels: As for `imaging.load`.

    Raises:
        ImageError: As for `imaging.load`.
    """

    def __init__(self, source: PictureSource, *, max_pixels: int = MAX_PIXELS) -> None:
        self._deep = read_deep_colour(source, max_pixels=max_pixels)
        if self._deep is not None:
            self.height, self.width = self._deep.values.shape[:2]
            return
        self._image = upright(read(source, max_pixels=max_pixels))
        self._image.info.pop("exif", None)  # or each strip would be turned again
        self.width, self.height = self._image.size

    def __call__(self, top: int, bottom: int) -> Tensor:
        """Return the rows from `top` to before `bottom`, `[1, 3, rows, W]`, float32 in 0..1, as `load` returns them."""
        if self._deep is None:
            return load(self._image.crop((0, top, self.width, bottom)))
        pixels = blended(*self._deep.rows(top, bottom), _WHITE)
        return torch.tensor(pixels).permute(2, 0, 1).unsqueeze(0).to(memory_format=torch.contiguous_format)

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
    factor = _factor(height, width, pixels)
    if factor <= 1:
        return read(0, height)
    step = factor * max(1, _ROWS // factor)
    used = height // factor * factor
    parts = [functional.avg_pool2d(read(top, min(top + step, used)), factor) for top in range(0, used, step)]
    return torch.cat(parts, dim=2)


def reduced_sides(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Return the height and width of what `reduced_rows` returns."""
    factor = _factor(height, width, pixels)
    return height // factor, width // factor


def _factor(height: int, width: int, pixels: int) -> int:
    return min(math.ceil(math.sqrt(height * width / pixels)), height, width)


def save_strips(
    strips: Iterable[Tensor],
    path: str | os.PathLike[str],
    height: int,
    width: int,
    *,
    record: Callable[[], Record] | None = None,
    depth: int = 8,
    taken: str | None = None,
) -> None:
    """Write a picture from strips `[1, 3, h, W]` in 0..1, from top to bottom, as they come.

    Of a PNG or TIFF one strip is in memory; of the other formats the whole picture is, in a byte for each value. The
    file appears complete or not at all.

    Args:
        strips: They fill the picture.
        path: With a suffix that `save` writes; an existing file is replaced.
        height: Of the picture.
        width: Of the picture.
        record: Returns how the picture was made; called after the last strip.
        depth: Bits of each channel, as for `save`.
        taken: When the photo was taken, as for `save`.

    Raises:
        ImageError: The strips do not fill the picture, have values that are NaN, or the file cannot be written; or as
            for `save`.
    """
    target = Path(path)
    check_suffix(target, depth)
    form = format_of(target)
    check_longest(form, height, width)
    rows = _checked(strips, target, height, depth)
    write_whole(
        target,
        form,
        lambda stream: write_rows(stream, form, rows, height, width, depth=depth, record=record, taken=taken),
    )


def _checked(strips: Iterable[Tensor], target: Path, height: int, depth: int) -> Iterator[Levels]:
    """Yield the levels of strips, and say where they do not fill the picture."""
    rows = 0
    for strip in strips:
        levels = to_levels(single_picture(strip), depth)
        rows += len(levels)
        del strip
        yield levels
    if rows != height:
        raise ImageError(f"{target}: not written: {rows} rows were made of {height}")
