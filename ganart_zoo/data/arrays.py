"""Pictures in an `.npz` file, for sets that fit in memory.

`images` is uint8 `[n, H, W, 3]`, `[n, H, W, 1]` or `[n, H, W]` (grey); `labels` (whole numbers `[n]`), `class_names`
and `captions` (text `[n]`) are optional. A label is an index into `class_names`. Without these, every number that
occurs is a class, which has its number for a name, so labels may be ids of another data set.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganart_zoo.contract.digest import file_sha256
from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.data.indexed import IndexedData
from ganart_zoo.data.pictures import Crop, Sample, fit_square

__all__ = ["ArrayData"]


class ArrayData(IndexedData):
    """The pictures of an `.npz` file.

    Args:
        path: The file.
        size: The side of the pictures in pixels; None keeps the stored size, which must be square.
        crop: See `fit_square`.
        flip: Whether to mirror a random half of the pictures.

    Raises:
        ImageError: The file is damaged, or contains no pictures.
        SettingsError: The pictures are not square and no size is given.
    """

    def __init__(self, path: Path, size: int | None = None, *, crop: Crop = "centre", flip: bool = False) -> None:
        self._path = path
        arrays = _read(path)
        images = arrays["images"]
        self._images = torch.from_numpy(images.reshape(*images.shape[:3], -1)).permute(0, 3, 1, 2)
        height, width = images.shape[1:3]
        if size is None and height != width:
            raise SettingsError(f"{path} holds pictures of {width}×{height}, which are not square; give a size")
        self.size = size or height
        self._crop, self._flip = crop, flip
        self._labels = _column(path, arrays, "labels")
        if self._labels is not None:
            if self._labels.dtype.kind not in "iu":
                raise ImageError(
                    f"{path}: labels are {self._labels.dtype}, such as {self._labels[0].item()!r:.40}, expected whole "
                    "numbers from 0; names of the classes go into class_names"
                )
            names = _texts(path, arrays, "class_names")
            least, most = int(self._labels.min()), int(self._labels.max())
            if least < 0 or (names is not None and len(names) <= most):
                classes = (
                    "any from 0" if names is None else f"0 to {len(names) - 1}, because class_names has {len(names)}"
                )
                raise ImageError(f"{path}: labels reach from {least} to {most}, expected {classes}")
            if names is None:
                found, self._labels = np.unique(self._labels, return_inverse=True)
                names = tuple(map(str, found.tolist()))
                if len(names) <= most:
                    self.notes = (
                        f"{path}: its {len(names)} labels from {least} to {most} have gaps; they are classes 0 to "
                        f"{len(names) - 1}, named by their numbers",
                    )
            self._labels = self._labels.astype(np.int64)
            self.class_names = names
        _column(path, arrays, "captions")
        captions = _texts(path, arrays, "captions")
        self.prompts = None if captions is None else list(captions)

    def __len__(self) -> int:
        return len(self._images)

    def fetch(self, index: int, seed: int) -> Sample:
        """Return picture `index`; see `IndexedData.fetch`."""
        image = self._images[index].expand(3, -1, -1)
        label = None if self._labels is None else int(self._labels[index])
        prompt = None if self.prompts is None else self.prompts[index]
        if image.shape[1:] == (self.size, self.size) and not self._flip:
            return Sample(image.contiguous(), label, prompt)
        whole = image.unsqueeze(0).to(torch.float32).div(255)
        return Sample(fit_square(whole, self.size, crop=self._crop, flip=self._flip, seed=seed), label, prompt)

    def describe(self) -> dict[str, Any]:
        """Return the facts of the file; see `Data.describe`."""
        return {
            "path": str(self._path),
            "holds": f"{len(self)} pictures",
            "sha256": file_sha256(self._path),
            "size": self.size,
            "crop": self._crop,
            "flip": self._flip,
        }


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        # numpy leaves a path that it opened itself open where the file is damaged
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            wanted = ("images", "labels", "class_names", "captions")
            arrays = {name: file[name] for name in wanted if name in file}
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such file; check the path") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ImageError(f"{path}: cannot be read as npz: {' '.join(str(error).split())}") from None
    images = arrays.get("images")
    if images is None:
        raise ImageError(f"{path} holds no array 'images'; expected uint8 [n, H, W, 3] or [n, H, W]")
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise ImageError(
            f"{path}: images are {images.dtype} {list(images.shape)}, expected uint8 [n, H, W, 3] or [n, H, W]"
        )
    if not images.size:
        raise ImageError(f"{path}: images are {list(images.shape)}, expected at least one")
    return arrays


def _texts(path: Path, arrays: dict[str, np.ndarray], name: str) -> tuple[str, ...] | None:
    """Return an array of texts, which may be stored as UTF-8."""
    column = arrays.get(name)
    if column is None:
        return None
    if column.ndim != 1:
        raise ImageError(f"{path}: {name} are {list(column.shape)}, expected one dimension")
    if column.dtype.kind not in "USiu":
        raise ImageError(f"{path}: {name} are {column.dtype}, expected texts")
    try:
        return tuple(each.decode() if isinstance(each, bytes) else str(each) for each in column.tolist())
    except UnicodeDecodeError:
        raise ImageError(f"{path}: {name} are neither text nor UTF-8") from None


def _column(path: Path, arrays: dict[str, np.ndarray], name: str) -> np.ndarray | None:
    column = arrays.get(name)
    if column is not None and column.shape != (len(arrays["images"]),):
        raise ImageError(f"{path}: {name} are {list(column.shape)}, expected one for each of {len(arrays['images'])}")
    return column
