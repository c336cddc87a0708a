"""Training pictures from folders, arrays and shards, in an order that depends only on the seed."""

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
        size: The side of the pictures in pixels; None only for an `.npz` of square pictures.
        crop: How pictures become square: `"centre"`, `"random"`, `"stretch"` or `"pad"`; see `fit_square`.
        flip: Whether to mirror a random half of the pictures from left to right.

    Raises:
        ImageError: There are no pictures, or they cannot be read.
        SettingsError: The size is missing.
    """
    data = _opened(path, size, crop, flip)
    for note in data.notes:
        _log.warning("%s", note)
    return data


def _opened(path: Path, size: int | None, crop: Crop, flip: bool) -> Data:
    if path.suffix.lower() == ".npz":
        return ArrayData(path, size, crop=crop, flip=flip)
    if size is None:
        raise SettingsError(f"{path}: give the size, because pictures in folders and shards have many sizes")
    if ".tar" in path.suffixes or (
        path.is_dir() and any(not shard.name.startswith(".") for shard in path.glob("*.tar"))
    ):
        from ganart_zoo.data.shards import ShardData  # webdataset is slow to import

        return ShardData(path, size, crop=crop, flip=flip)
    if path.is_file():
        raise ImageError(
            f"{path} is a file; expected a folder of pictures, an .npz file or .tar shards; unpack other archives first"
        )
    return FolderData(path, size, crop=crop, flip=flip)
