"""Pictures to learn from: folders, arrays and shards, in an order that depends on the seed alone."""

from __future__ import annotations

import logging
from pathlib import Path

from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.data.arrays import ArrayData
from ganart_zoo.data.folder import FolderData
from ganart_zoo.data.pictures import Batch, Crop, Data, Sample, Share

_log = logging.getLogger("ganart_zoo")

__all__ = ["ArrayData", "Batch", "Crop", "Data", "FolderData", "Sample", "Share", "open_data"]


def open_data(path: Path, size: int | None = None, *, crop: Crop = "centre", flip: bool = False) -> Data:
    """Return the data at `path`, whose kind follows from what is there, and log its notes.

    Args:
        path: An `.npz` file; a folder of pictures; a folder of `*.tar` shards, one shard, or a pattern of them,
            `train-{000..099}.tar`.
        size: Side of the pictures to give; None only for an `.npz` of square ones.
        crop: `"centre"` or `"random"` cut what is not square, `"stretch"`, `"pad"`.
        flip: Mirror every other picture, left to right.

    Raises:
        ImageError: There is nothing to be read.
        SettingsError: A size is needed.
    """
    data = _opened(path, size, crop, flip)
    for note in data.notes:
        _log.warning("%s", note)
    return data


def _opened(path: Path, size: int | None, crop: Crop, flip: bool) -> Data:
    if path.suffix == ".npz":
        return ArrayData(path, size, crop=crop, flip=flip)
    if size is None:
        raise SettingsError(f"{path}: give the size of the pictures, for those in folders and shards have many")
    if ".tar" in path.suffixes or (path.is_dir() and any(path.glob("*.tar"))):
        from ganart_zoo.data.shards import ShardData  # webdataset is slow to import

        return ShardData(path, size, crop=crop, flip=flip)
    if path.is_file():
        raise ImageError(
            f"{path} is a file; expected a folder of pictures, an .npz file or .tar shards; unpack other archives first"
        )
    return FolderData(path, size, crop=crop, flip=flip)
