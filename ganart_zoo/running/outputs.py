"""Where a task's files may go: refused before the work, and never over what ganart did not make."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.record import read_record

__all__ = ["check_folder", "check_replaceable", "is_folder", "make_folder"]


def is_folder(output: str | os.PathLike[str]) -> bool:
    """Say whether `output` means a folder of pictures: it is one, ends with a slash, or has no suffix."""
    return os.fspath(output).endswith(("/", os.sep)) or Path(output).is_dir() or not Path(output).suffix


def make_folder(folder: Path) -> None:
    """Create a folder whose parent exists, or take it as it is.

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


def check_replaceable(output: Path) -> None:
    """Raise ImageError where an existing file carries no record of ganart."""
    try:
        read_record(output)
    except ImageError:
        raise ImageError(f"{output}: exists and was not made by ganart; choose another output, or use force") from None


def check_folder(folder: Path) -> None:
    """Raise ImageError where no file can be written in `folder`."""
    if not folder.exists():
        raise ImageError(f"{folder}: there is no such folder; create it first")
    probe = folder / f".ganart-{secrets.token_hex(4)}.probe"
    try:
        # Asking for permission bits is not enough: they say yes to root even where the file system says no.
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise ImageError(f"{folder}: cannot be written to ({error.strerror or error})") from None
