"""Contact sheets: several pictures on one sheet, for visual comparison."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.imaging.decode import MAX_PIXELS
from ganart_zoo.imaging.images import from_pil, single_picture

__all__ = ["to_grid"]

_CAPTION_SIZE = 14  # pixels; legible at 1:1
_CAPTION_HEIGHT = 20


def to_grid(
    images: Tensor | Sequence[Tensor],
    *,
    columns: int | None = None,
    padding: int = 8,
    captions: Sequence[str] | None = None,
) -> Tensor:
    """Arrange pictures row by row on a white sheet, each centred in a cell of the size of the largest.

    Args:
        images: [n, 3, H, W], or a sequence of [1, 3, h, w] and [3, h, w] of any sizes.
        columns: The number of pictures in a row; None puts all pictures in one row.
        padding: The width in pixels of the white border around each cell.
        captions: One line of text below each picture, cut to the width of the cell.

    Returns:
        [1, 3, H', W'], float32 on the CPU, not clamped.

    Raises:
        ImageError: One of `images` is not a picture.
        SettingsError: There are no pictures, `columns` is not positive, `padding` is negative, there is not one
            caption for each picture, or the sheet would have more than `MAX_PIXELS`.
    """
    pictures = [single_picture(image) for image in images]
    columns = len(pictures) if columns is None else columns
    if not pictures:
        raise SettingsError("no pictures were given for the sheet; expected at least one")
    if columns < 1 or padding < 0:
        raise SettingsError(
            f"columns is {columns} and padding {padding}; expected columns of 1 or more, padding from 0"
        )
    if captions is not None and len(captions) != len(pictures):
        raise SettingsError(f"{len(captions)} captions were given for {len(pictures)} pictures; expected one each")
    height = max(picture.shape[1] for picture in pictures)
    width = max(picture.shape[2] for picture in pictures)
    row_height = height + padding + (0 if captions is None else _CAPTION_HEIGHT)
    rows = -(-len(pictures) // columns)
    if rows * row_height * columns * (width + padding) > MAX_PIXELS:
        raise SettingsError(
            f"a sheet of {columns}×{rows} cells of {width}×{height} pixels has more than the limit of {MAX_PIXELS}; "
            "scale the pictures down first, or use fewer"
        )
    sheet = torch.ones(
        3, padding + rows * row_height, padding + columns * (width + padding), dtype=torch.float32, device="cpu"
    )
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        top, left = padding + row * row_height, padding + column * (width + padding)
        _paste(sheet, picture, top + (height - picture.shape[1]) // 2, left + (width - picture.shape[2]) // 2)
        if captions is not None:
            _paste(sheet, _caption(captions[index], width), top + height, left)
    return sheet.unsqueeze(0)


def _paste(sheet: Tensor, picture: Tensor, top: int, left: int) -> None:
    _, height, width = picture.shape
    sheet[:, top : top + height, left : left + width] = picture


def _caption(text: str, width: int) -> Tensor:
    """Return one line of black text on white, [3, height, width], centred if it fits."""
    from PIL import ImageDraw, ImageFont  # they take longer to import than the rest of Pillow that is needed

    strip = Image.new("L", (width, _CAPTION_HEIGHT), 255)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(_CAPTION_SIZE)
    left = max(0.0, (width - draw.textlength(text, font=font)) / 2)
    draw.text((left, _CAPTION_HEIGHT / 2), text, fill=0, font=font, anchor="lm")
    return from_pil(strip)[0]
