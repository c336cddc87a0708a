"""Pictures in a folder and the folders below it, of any size and format.

As in Hugging Face's imagefolder, if the pictures are in several folders, the name of the folder is the class. Captions
are lines `{"file_name": ..., "text": ...}` in files `metadata.jsonl`, with names relative to that file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.data.files import PICTURE_SUFFIXES, captions_of, files_below
from ganart_zoo.data.fingerprint import fingerprint
from ganart_zoo.data.indexed import IndexedData
from ganart_zoo.data.pictures import LEAST_SCALING, Crop, Sample, as_text, cut, scaled
from ganart_zoo.imaging.images import load

__all__ = ["PICTURE_SUFFIXES", "FolderData"]


_MOST_NAMED = 10
"""Classes that a note names."""

_MOST_KEPT = 2**29
"""Bytes of scaled pictures that each loading process keeps, such as 43,000 pictures of 64 pixels."""


class FolderData(IndexedData):
    """The pictures below a folder, by name. Those that cannot be read are skipped when they are due.

    Links to folders are followed. Hidden files and runs of `ganart train` are left out.

    Decoding takes most of the time, so the first 512 MiB of scaled pictures stay in memory.

    Args:
        path: The folder.
        size: The side of the pictures in pixels.
        crop: See `fit_square`.
        flip: Whether to mirror a random half of the pictures.

    Raises:
        ImageError: There is no such folder; it holds no pictures; a `metadata.jsonl` is damaged; or no caption names a
            picture.
    """

    def __init__(self, path: Path, size: int, *, crop: Crop = "centre", flip: bool = False) -> None:
        if not path.is_dir():
            raise ImageError(f"{path}: there is no such folder; check the path")
        self._path, self.size, self._crop, self._flip = path, size, crop, flip
        found = files_below(path)
        self._files = found.pictures
        if not self._files:
            raise ImageError(f"{path} holds no pictures; expected files such as .png, .jpg or .webp in it or below it")
        folders = sorted({file.parent for file in self._files})
        self._classes = {folder: number for number, folder in enumerate(folders)} if len(folders) > 1 else {}
        names = [folder.name or folder.resolve().name for folder in self._classes]  # "." has no name
        if len(set(names)) < len(names):  # folders with the same name in different folders
            names = [folder.relative_to(path).as_posix() for folder in self._classes]
        self.class_names = tuple(map(as_text, names))
        self.prompts = captions_of(path, found)
        if self.class_names:
            named = ", ".join(self.class_names[:_MOST_NAMED]) + ", ..." * (len(self.class_names) > _MOST_NAMED)
            found.notes.append(f"{path}: {len(self.class_names)} classes by the names of folders: {named}")
        self.notes = tuple(map(as_text, found.notes))
        self._kept: dict[int, Tensor] = {}
        self._room = _MOST_KEPT

    def __len__(self) -> int:
        return len(self._files)

    def fetch(self, index: int, seed: int) -> Sample:
        """Return picture `index`; see `IndexedData.fetch`."""
        return Sample(
            cut(self._scaled(index), self.size, crop=self._crop, flip=self._flip, seed=seed),
            self._classes.get(self._files[index].parent),
            None if self.prompts is None else self.prompts[index],
        )

    def _scaled(self, index: int) -> Tensor:
        """Return picture `index` before it is cut, from memory if it has been read before."""
        if index in self._kept:
            return self._kept[index]
        image = scaled(load(self._files[index], least_side=LEAST_SCALING * self.size), self.size, self._crop)
        if image.numel() <= self._room:
            self._room -= image.numel()
            self._kept[index] = image
        return image

    def describe(self) -> dict[str, Any]:
        """Return facts about the folder. The hash is over files and captions; see `fingerprint`."""
        files = {file.relative_to(self._path).as_posix(): file for file in self._files}
        return {
            "path": str(self._path),
            "holds": f"{len(self)} pictures",
            "sha256": fingerprint(files, self.prompts or ()),
            "size": self.size,
            "crop": self._crop,
            "flip": self._flip,
        }
