"""Files that appear whole or not at all: written beside their place, then renamed. Also suffixes. Torch-free."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from ganart_zoo.contract.errors import ImageError

__all__ = ["ANIMATED_PICTURES", "VIDEOS", "check_ordinary", "whole_file", "write_text"]

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
"""Suffixes of videos that are read; `.mp4`, `.mov`, `.mkv` and `.webm` are written too."""
ANIMATED_PICTURES = (".gif", ".webp")
"""Suffixes of pictures that may have several frames."""


_OTHERS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


def check_ordinary(path: Path) -> None:
    """Raise ImageError where `path` exists and is no ordinary file, which would be replaced. Call it before long work.

    A link counts as what it points to.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except OSError:  # it does not exist, or its folder cannot be read, which writing reports
        return
    if kind != stat.S_IFREG:
        raise ImageError(f"{path}: is {_OTHERS.get(kind, 'no ordinary file')}; expected a file to write")


@contextlib.contextmanager
def whole_file(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """Yield a path to write to; when the block ends it becomes `path`, and after an error it is removed.

    An existing file is replaced. Where `path` is a link, the file that it points to is.

    Args:
        path: Its folder must exist.
        alone: No other process writes this file. Its part then has a fixed name, so that what a killed process left
            is written over instead of staying on the disk.

    Raises:
        OSError: It cannot be written.
        ImageError: It is no ordinary file.
    """
    check_ordinary(path)
    place = Path(os.path.realpath(path))
    # the files of tempfile are readable by their owner only, and would stay so after the move
    part = place.with_name(f".{place.name}.part" if alone else f".ganart-{secrets.token_hex(8)}.part")
    try:
        yield part
        with part.open("rb") as file:  # a name that outlives a power cut must not name missing blocks
            os.fsync(file.fileno())
        part.replace(place)
    finally:
        with contextlib.suppress(OSError):  # it no longer exists after success
            part.unlink()


def write_text(path: Path, text: str, *, alone: bool = False) -> None:
    """Write a text file in UTF-8, as `whole_file` does.

    File names need not be text: what stands for their other bytes is written as an escape, which JSON reads as it was.

    Raises:
        OSError: It cannot be written.
    """
    with whole_file(path, alone=alone) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
