"""Where the files of a task go: checked before the work, and never replacing a file that ganart did not make."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.data.files import PICTURE_SUFFIXES, counted
from ganart_zoo.imaging.files import check_ordinary
from ganart_zoo.imaging.images import check_suffix
from ganart_zoo.imaging.record import read_record

_log = logging.getLogger("ganart_zoo")

__all__ = ["check_folder", "check_pictures", "check_replaceable", "is_folder", "make_folder", "pictures_in"]


def is_folder(output: str | os.PathLike[str]) -> bool:
    """Say whether `output` means a folder of pictures: it is one, ends with a slash, or has no suffix."""
    return os.fspath(output).endswith(("/", os.sep)) or Path(output).is_dir() or not Path(output).suffix


def make_folder(folder: Path) -> None:
    """Create a folder in a folder that exists, unless it is there already.

    Raises:
        ImageError: It cannot be created.
    """
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise ImageError(f"{folder}: is a file, and several pictures need a folder") from None
    except FileNotFoundError:
        raise ImageError(f"{folder}: there is no folder {folder.parent}; create it first") from None
    except OSError as error:
        raise ImageError(f"{folder}: cannot be created ({error.strerror or error})") from None


def pictures_in(folder: Path) -> list[Path]:
    """Return the files with a picture's suffix in a folder, sorted, without hidden files and subfolders.

    What else is there is counted and logged.

    Raises:
        ImageError: There are none, or the folder cannot be read.
    """
    try:
        present = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        kinds = [(path, path.is_file(), path.is_dir()) for path in present]
    except OSError as error:
        raise ImageError(f"{folder}: cannot be read ({error.strerror or error})") from None
    files = [path for path, is_file, _ in kinds if is_file and path.suffix.lower() in PICTURE_SUFFIXES]
    others = [path for path, is_file, _ in kinds if is_file and path.suffix.lower() not in PICTURE_SUFFIXES]
    broken = [path for path, is_file, is_folder in kinds if not (is_file or is_folder)]
    for left_out, noun, what in (
        (others, "file", "without a picture's suffix left out"),
        ([path for path, _, is_folder in kinds if is_folder], "folder", "in it left out"),
        (broken, "name", "without a file behind it left out"),
    ):
        if left_out:
            _log.warning("%s: %s %s", folder, counted(left_out, noun), what)
    if not files:
        raise ImageError(f"{folder}: there are no pictures in this folder")
    return files


def check_pictures(files: Sequence[Path], folder: Path | None = None, *, force: bool, depth: int = 8) -> None:
    """Raise ImageError before the work where saving pictures would fail or replace what ganart did not make.

    Args:
        files: The pictures to be written.
        folder: Where all of them go; created where it is missing. None: each goes to its own folder, which exists.
        force: Replace files that ganart did not make.
        depth: Bits of each channel.
    """
    if folder is not None:
        make_folder(folder)
    for file in files:
        check_suffix(file, depth)
        check_ordinary(file)
        if file.exists() and not force:
            check_replaceable(file)
    for parent in {file.parent for file in files}:
        check_folder(parent)


def check_replaceable(output: Path) -> None:
    """Raise ImageError where an existing file carries no record of ganart."""
    try:
        read_record(output)
    except ImageError:
        raise ImageError(
            f"{output}: exists and was not made by ganart; choose another output, or use --force (force=True)"
        ) from None


def check_folder(folder: Path) -> None:
    """Raise ImageError where no file can be written in `folder`."""
    if not folder.exists():
        raise ImageError(f"{folder}: there is no such folder; create it first")
    probe = folder / f".ganart-{secrets.token_hex(4)}.probe"
    try:
        # Permission bits are not enough: for root they allow what a read-only file system refuses.
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        why = "its file system takes no files" if isinstance(error, FileNotFoundError) else error.strerror or error
        raise ImageError(f"{folder}: cannot be written to ({why}); choose another folder") from None
