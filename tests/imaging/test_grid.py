"""Contact sheets put each picture where it belongs."""

from __future__ import annotations

import pytest
import torch

from ganart_zoo import imaging
from ganart_zoo.contract.errors import ImageError, SettingsError


def test_pictures_lie_row_by_row_between_white_padding() -> None:
    images = torch.linspace(0, 0.8, 3).reshape(3, 1, 1, 1).expand(3, 3, 4, 6)
    sheet = imaging.to_grid(images, columns=2, padding=2)
    assert sheet.shape == (1, 3, 2 + 2 * (4 + 2), 2 + 2 * (6 + 2))
    expected = torch.ones_like(sheet)
    for image, (top, left) in zip(images, [(2, 2), (2, 10), (8, 2)], strict=True):
        expected[0, :, top : top + 4, left : left + 6] = image
    assert torch.equal(sheet, expected)


def test_pictures_of_unlike_sizes_are_centred() -> None:
    sheet = imaging.to_grid([torch.zeros(1, 3, 2, 8), torch.zeros(3, 6, 4)], padding=1)
    assert sheet.shape == (1, 3, 8, 19)
    black = sheet[0, 0] == 0
    assert black.sum() == 16 + 24
    assert black[3:5, 1:9].all()
    assert black[1:7, 12:16].all()


def test_captions_are_drawn_under_their_pictures_only() -> None:
    images = torch.zeros(2, 3, 20, 60)
    plain = imaging.to_grid(images, padding=4)
    sheet = imaging.to_grid(images, padding=4, captions=["", "Ääh"])
    extra = sheet.shape[2] - plain.shape[2]
    assert extra > 10
    assert torch.equal(sheet[:, :, :24], plain[:, :, :24])
    strip = sheet[0, 0, 24 : 24 + extra]
    assert (strip[:, :68] == 1).all()
    assert (strip[:, 68:] < 0.5).any()


def test_a_caption_too_long_stays_in_its_cell() -> None:
    sheet = imaging.to_grid(torch.ones(2, 3, 4, 10), padding=4, captions=["a very long caption", ""])
    assert (sheet[..., 14:] == 1).all()
    shorter = imaging.to_grid(torch.ones(2, 3, 4, 10), padding=4, captions=["a very", ""])
    assert torch.equal(sheet, shorter)  # both show the beginning


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        ([], {}, "no pictures"),
        ([torch.zeros(3, 1, 1)], {"columns": 0}, "columns is 0"),
        ([torch.zeros(3, 1, 1)], {"padding": -1}, "padding -1"),
        ([torch.zeros(3, 1, 1)], {"captions": ["a", "b"]}, "2 captions were given for 1 pictures"),
    ],
)
def test_impossible_sheets(images: list[torch.Tensor], settings: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        imaging.to_grid(images, **settings)


def test_only_pictures_are_laid_out() -> None:
    for image in (torch.zeros(2, 3, 4, 4), torch.zeros(1, 4, 4), torch.zeros(3, 4, 4, dtype=torch.int64)):
        with pytest.raises(ImageError, match="given"):
            imaging.to_grid([image])


def test_a_sheet_larger_than_any_picture_may_be_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"a sheet of 2×1 cells of 30000×30000 pixels has more than the limit"):
        imaging.to_grid([torch.zeros(3, 1, 30_000), torch.zeros(3, 30_000, 1)])
