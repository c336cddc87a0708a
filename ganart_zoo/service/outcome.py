"""The pictures in a task's result, whatever the task."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from ganart_zoo.imaging.images import encode, to_pil
from ganart_zoo.imaging.record import Record

__all__ = ["MadePicture", "files_of", "pictures_of", "preview_of"]


@dataclass(frozen=True, eq=False)
class MadePicture:
    """One picture that a task made."""

    image: Tensor
    """`[1, 3, H, W]`, not clamped."""
    record: Record | None
    """How it was made, so that it can be made again."""
    label: str = ""
    """What tells it from the others."""

    def encoded(self, form: str = "png") -> bytes:
        """Return the bytes of a file, `"png"`, `"jpg"` or `"webp"`, with the record inside.

        Raises:
            ImageError: The format is unknown, or the picture has NaN values.
        """
        return encode(self.image, form, record=self.record)

    def to_pil(self) -> Image.Image:
        """Return the picture as a Pillow image, without the record."""
        return to_pil(self.image)

    def thumbnail(self, side: int = 256) -> bytes:
        """Return a JPEG of at most `side` pixels, without the record."""
        stream = io.BytesIO()
        small = to_pil(self.image)
        small.thumbnail((side, side))
        small.save(stream, "JPEG", quality=85)
        return stream.getvalue()


def pictures_of(result: Any) -> tuple[MadePicture, ...]:
    """Return the pictures of the result of a task; none where it made figures or files of other kinds."""
    return tuple(_pictures(result))


def files_of(result: Any) -> tuple[Path, ...]:
    """Return the files and folders that a result says it wrote."""
    if hasattr(result, "made"):
        return (*result.paths, *result.files)
    if hasattr(result, "results"):
        single = [one.path for one in result.results]
        return tuple(path for path in (*single, result.sheet) if path is not None)
    if hasattr(result, "paths"):
        return tuple(result.paths)
    path = getattr(result, "path", getattr(result, "folder", None))
    return () if path is None else (path,)


def _pictures(result: Any) -> Iterator[MadePicture]:
    if isinstance(pictures := getattr(result, "pictures", None), tuple) and hasattr(result, "made"):  # from a history
        yield from pictures
        return
    record = getattr(result, "record", None)
    if hasattr(result, "results"):  # imagine
        for place, one in enumerate(result.results, start=1):
            yield MadePicture(one.image, one.record, f"{place}")
        return
    if isinstance(getattr(result, "image", None), Tensor):  # project
        yield MadePicture(result.image, record)
        return
    images = getattr(result, "images", None)
    if not isinstance(images, Tensor) or not images.numel():
        return
    if isinstance(getattr(result, "sheet", None), Tensor):  # mix: one grid, as its record says
        yield MadePicture(result.sheet, record, "grid")
        return
    single = len(images) == 1
    for row, image in enumerate(images):
        one = record if single or record is None else _row_record(record, row)
        yield MadePicture(image[None], one, "" if single else f"seed {record.seed + row}" if record else f"{row}")


def _row_record(record: Record, row: int) -> Record | None:
    """Return the record of one picture of a sample, as `sample` writes it in the file of that picture."""
    from dataclasses import replace

    if record.task != "sample":
        return None
    request = dict(record.request)
    classes = request.get("classes")
    request |= {"n": 1, "columns": 1, "classes": None if classes is None else [classes[row % len(classes)]]}
    if "first" in request:
        request["first"] += row
    return replace(record, seed=record.seed + row, request=request)


def preview_of(images: Tensor, side: int) -> Image.Image | None:
    """Return pictures `[n, 3, H, W]` as one of at most `side` pixels; None where there are none, or they are broken."""
    if images.ndim != 4 or not images.numel():
        return None
    if len(images) > 1:
        from ganart_zoo.imaging.grid import to_grid

        images = to_grid(images.float().cpu(), padding=2)
    levels = images.detach().float().nan_to_num(0.0).clamp(0, 1)
    image = to_pil(levels)
    image.thumbnail((side, side))
    return image
