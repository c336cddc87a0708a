"""Data read once, for statistics: every picture a single time, and those that cannot be read named."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganart_zoo.contract import ImageError
from ganart_zoo.data import Data, Share, open_data


def png(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (level,) * 3).save(stream, "PNG")
    return stream.getvalue()


def write_shard(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


@pytest.fixture(params=["npz", "folder", "shards"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Data:
    """Pictures whose grey level is their number, 0 to 11, with the number's parity as class."""
    if request.param == "npz":
        images = np.arange(12, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
        np.savez(tmp_path / "data.npz", images=images, labels=np.arange(12) % 2)
        return open_data(tmp_path / "data.npz")
    root = tmp_path / "data"
    if request.param == "folder":
        for level in range(12):
            (root / f"class{level % 2}").mkdir(parents=True, exist_ok=True)
            (root / f"class{level % 2}" / f"{level:02}.png").write_bytes(png(level))
        return open_data(root, 8)
    root.mkdir()
    for shard in range(3):
        levels = range(4 * shard, 4 * shard + 4)
        files = {f"{level:02}.png": png(level) for level in levels} | {
            f"{level:02}.cls": str(level % 2).encode() for level in levels
        }
        write_shard(root / f"part-{shard}.tar", dict(sorted(files.items())))
    (root / "class_names.json").write_text(json.dumps(["even", "odd"]))
    return open_data(root, 8)


def known(found: Iterator) -> list[tuple[int, int]]:
    return [(int(sample.image[0, 0, 0]), sample.label) for sample in found]


def test_every_picture_comes_a_single_time_with_its_label(data: Data) -> None:
    seen = known(data.once())
    assert sorted(seen) == [(level, level % 2) for level in range(12)]
    assert seen != sorted(seen)
    assert known(data.once()) == seen


def test_reading_once_leaves_training_s_order_alone(data: Data) -> None:
    before = next(iter(data.loader(Share(6), 0, 0)())).images
    list(data.once())
    assert (next(iter(data.loader(Share(6), 0, 0)())).images == before).all()


def test_pictures_that_cannot_be_read_are_told_and_nothing_stands_in_for_them(tmp_path: Path) -> None:
    root = tmp_path / "folder"
    root.mkdir()
    for level in range(5):
        (root / f"{level}.png").write_bytes(png(level))
    (root / "3.png").write_bytes(b"no picture")
    write_shard(tmp_path / "one.tar", {"0.png": png(0), "1.png": b"no picture", "2.png": png(2)})
    whole = (tmp_path / "one.tar").read_bytes()
    (tmp_path / "two.tar").write_bytes(whole[: len(whole) // 4])
    for path, levels, broken in ((root, [0, 1, 2, 4], ["3.png"]), (tmp_path / "one.tar", [0, 2], ["one.tar/1"])):
        found = list(open_data(path, 8).once())
        errors = [one for one in found if isinstance(one, ImageError)]
        assert sorted(int(one.image[0, 0, 0]) for one in found if not isinstance(one, ImageError)) == levels
        assert len(errors) == len(broken)
        assert all(name in str(error) for name, error in zip(broken, errors, strict=True))
    (*_, last) = open_data(tmp_path / "two.tar", 8).once()
    assert isinstance(last, ImageError)
    assert "two.tar: damaged" in str(last)
