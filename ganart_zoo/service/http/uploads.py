"""Pictures that clients have sent, by the SHA-256 of their bytes. Nothing of a client's names or paths is used."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.imaging.decode import read
from ganart_zoo.running.outputs import make_folder

__all__ = ["ID", "Upload", "Uploads"]

ID = r"^[0-9a-f]{64}$"
"""What identifies an upload."""


@dataclass(frozen=True)
class Upload:
    """One picture that was sent."""

    id: str
    path: Path
    width: int
    """As stored, in pixels."""
    height: int


class Uploads:
    """A folder of uploads. Threads may share it.

    Args:
        folder: Created if it is missing.
        pixels: A larger picture is refused before it is decoded.
        stored_bytes: When uploads take more than this, those that were used longest ago are deleted.
    """

    def __init__(self, folder: Path, pixels: int, stored_bytes: int) -> None:
        make_folder(folder.parent)
        make_folder(folder)
        self._folder, self._pixels, self._stored_bytes = folder, pixels, stored_bytes
        self._lock = threading.Lock()

    def add(self, data: bytes) -> Upload:
        """Keep a picture.

        Raises:
            ImageError: The bytes are no picture, are damaged, or have too many pixels.
        """
        picture = read(data, max_pixels=self._pixels)
        key = hashlib.sha256(data).hexdigest()
        path = self._folder / key
        with self._lock:
            if not path.exists():
                partial = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.partial")
                try:
                    partial.write_bytes(data)
                    partial.replace(path)
                except OSError as error:
                    partial.unlink(missing_ok=True)
                    raise ImageError(f"the picture cannot be kept ({error.strerror or error})") from None
                self._make_room(path)
        return Upload(key, path, *picture.size)

    def path(self, key: str) -> Path:
        """Return the file of an upload.

        Raises:
            SettingsError: There is none; it was never sent, or was deleted since.
        """
        path = self._folder / key
        if not re.fullmatch(ID, key) or not path.is_file():
            raise SettingsError(f"there is no upload {key[:64]!r}; send the picture to /api/v1/uploads first")
        os.utime(path)
        return path

    def holds(self, key: str) -> bool:
        """Return whether an upload is there."""
        return re.fullmatch(ID, key) is not None and (self._folder / key).is_file()

    def _make_room(self, newest: Path) -> None:
        files = sorted((one for one in self._folder.iterdir() if one != newest), key=lambda one: one.stat().st_mtime)
        total = newest.stat().st_size + sum(one.stat().st_size for one in files)
        for file in files:
            if total <= self._stored_bytes:
                return
            total -= file.stat().st_size
            file.unlink(missing_ok=True)
