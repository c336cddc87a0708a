"""Pictures in strips: rows are those of the loaded picture, files are what Pillow reads, and nothing half is left."""

from __future__ import annotations

import errno
import weakref
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging import load, to_pil
from ganart_zoo.imaging.strips import RowSource, reduced_rows, save_strips


@pytest.fixture
def picture() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(0, 256, (1, 3, 61, 43)).float() / 255


def test_a_png_of_strips_is_the_picture(picture: torch.Tensor, tmp_path: Path) -> None:
    save_strips((picture[..., top : top + 7, :] for top in range(0, 61, 7)), tmp_path / "out.png", 61, 43)
    with Image.open(tmp_path / "out.png") as image:
        assert image.convert("RGB").tobytes() == to_pil(picture).tobytes()


def test_missing_rows_and_broken_values_leave_nothing(picture: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="7 rows were made of 61"):
        save_strips([picture[..., :7, :]], tmp_path / "out.png", 61, 43)
    with pytest.raises(ImageError, match="NaN"):
        save_strips([picture * torch.nan], tmp_path / "out.png", 61, 43)
    with pytest.raises(ImageError, match="does not exist; create it first"):
        save_strips([picture], tmp_path / "none" / "out.png", 61, 43)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said(picture: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ganart_zoo.imaging.row_writers.zlib.crc32", full)
    with pytest.raises(ImageError, match=r"out\.png: not written as PNG: No space left on device"):
        save_strips([picture], tmp_path / "out.png", 61, 43)
    assert not list(tmp_path.iterdir())


def test_rows_are_those_of_the_loaded_picture(picture: torch.Tensor, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    to_pil(picture).save(tmp_path / "turned.png", exif=exif)
    source, whole = RowSource(tmp_path / "turned.png"), load(tmp_path / "turned.png")
    assert (source.height, source.width) == tuple(whole.shape[-2:]) == (43, 61)
    assert torch.equal(torch.cat([source(0, 10), source(10, 43)], dim=2), whole)


def test_a_reduced_copy_keeps_one_part_of_the_picture_at_a_time() -> None:
    alive: list[weakref.ref[torch.Tensor]] = []

    def read(top: int, bottom: int) -> torch.Tensor:
        assert not any(part() is not None for part in alive)
        rows = torch.zeros(1, 3, bottom - top, 64)
        alive.append(weakref.ref(rows))
        return rows

    assert reduced_rows(read, 2000, 64, pixels=2000).shape == (1, 3, 250, 8)
    assert len(alive) > 3


def test_a_reduced_copy_is_a_mean_over_squares(picture: torch.Tensor) -> None:
    small = reduced_rows(lambda top, bottom: picture[..., top:bottom, :], 61, 43, pixels=300)
    assert small.shape == (1, 3, 20, 14)
    torch.testing.assert_close(small[0, :, 3, 5], picture[0, :, 9:12, 15:18].mean(dim=(1, 2)))
    assert torch.equal(reduced_rows(lambda top, bottom: picture[..., top:bottom, :], 61, 43, pixels=10**6), picture)
