"""The record inside a picture: the model, inputs and settings it was made with; and the comparison of two pictures.

A PNG holds it as JSON in a text chunk, the other formats in EXIF's UserComment. `imaging.save` writes it and
`read_record` reads it. Torch-free.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ganart_zoo.contract.digest import file_sha256
from ganart_zoo.contract.errors import ImageError
from ganart_zoo.contract.provenance import Provenance
from ganart_zoo.imaging.bare import png_text
from ganart_zoo.imaging.decode import MAX_PIXELS, PictureSource, decode, photo_tags, picture_sides, read

__all__ = [
    "RECORD_VERSION",
    "InputFile",
    "PixelDifference",
    "Record",
    "compare_pixels",
    "find_inputs",
    "read_record",
]

#: Increased whenever a reader of the previous version would misunderstand the record.
RECORD_VERSION = 1

PNG_KEYWORD = "ganart"
EXIF_IFD = 0x8769
EXIF_USER_COMMENT = 0x9286
# The EXIF standard opens a UserComment with eight bytes that name its character set.
_USER_COMMENT_START = b"ASCII\0\0\0ganart:"


@dataclass(frozen=True)
class InputFile:
    """A file that a task read."""

    role: str  # "content", "style", ...
    name: str  # without its folder, since paths differ between machines and may be private
    sha256: str
    bytes: int

    @classmethod
    def of(cls, path: str | os.PathLike[str], role: str) -> InputFile:
        """Describe the file at `path`. Raises ImageError if it cannot be read."""
        path = Path(path)
        try:
            return cls(role=role, name=path.name, sha256=file_sha256(path), bytes=path.stat().st_size)
        except OSError as error:
            raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from None


@dataclass(frozen=True)
class Record:
    """Everything that is needed to make the same picture again, as JSON data."""

    task: str  # the verb: "stylize", "dream", ...
    model: Provenance  # with its versions, config, weights hashes and the models it uses
    options: Mapping[str, Any]  # complete, defaults included
    seed: int
    device: str
    threads: int
    versions: Mapping[str, str]  # of "python", "torch", "ganart-zoo" and whatever else affects the pixels
    ops: Mapping[str, str]  # op to the implementation that ran
    inputs: tuple[InputFile, ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict)  # other arguments of the task: style weights, size, ...
    record_version: int = RECORD_VERSION

    def to_text(self) -> str:
        """Return the record as one line of ASCII JSON. Raises TypeError for a value that JSON cannot hold."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values["model"] = self.model.to_json()
        values["inputs"] = [asdict(one) for one in self.inputs]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Record:
        """Parse the line that `to_text` returns.

        Raises:
            ImageError: The text is not a record, or is one of another version.
        """
        try:
            values = json.loads(text)
            version = values["record_version"]
            if version == RECORD_VERSION:
                values["model"] = Provenance.from_json(values["model"])
                values["inputs"] = tuple(InputFile(**value) for value in values["inputs"])
                return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ImageError(f"the record is damaged ({type(error).__name__}: {error})") from None
        raise ImageError(
            f"the record has version {version}, this ganart-zoo reads {RECORD_VERSION}; use the release that wrote it"
        )


def to_user_comment(record: Record) -> bytes:
    """Return the record as the value of EXIF's UserComment."""
    return _USER_COMMENT_START + record.to_text().encode("ascii")


def read_record(path: str | os.PathLike[str]) -> Record:
    """Return the record in a picture file.

    Raises:
        ImageError: The file cannot be read as a picture, has no record, or has one that this version cannot read.
    """
    width, height = picture_sides(path)
    if width * height > MAX_PIXELS:  # written in strips, and too large to be decoded for its record
        with Path(path).open("rb") as stream:
            text = png_text(stream, PNG_KEYWORD)
        tags = photo_tags(path)
    else:
        image = read(path)
        text, tags = image.info.get(PNG_KEYWORD), image.getexif().get_ifd(EXIF_IFD)
    if text is None:
        comment = tags.get(EXIF_USER_COMMENT, b"")
        if not isinstance(comment, bytes) or not comment.startswith(_USER_COMMENT_START):
            raise ImageError(
                f"{os.fspath(path)}: carries no ganart record; it was not made by ganart, or a later program dropped it"
            )
        text = comment[len(_USER_COMMENT_START) :].decode("ascii", errors="replace")
    try:
        return Record.from_text(text)
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from None


def find_inputs(
    inputs: Iterable[InputFile], folders: Iterable[str | os.PathLike[str]], *, recursive: bool = False
) -> dict[str, Path]:
    """Find files with the recorded contents, whatever their names.

    Only files with a recorded size are hashed, those with a recorded name first.

    Args:
        inputs: The files to find.
        folders: The folders to search, in order; folders that do not exist are skipped.
        recursive: Whether to search subfolders too.

    Returns:
        The first file with each SHA-256, by SHA-256. Files that were not found are absent.
    """
    wanted = list(inputs)
    names = {one.name for one in wanted}
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(_files_in(Path(folder), recursive), key=lambda path: (path.name not in names, path)):
            missing = {(one.bytes, one.sha256) for one in wanted if one.sha256 not in found}
            if not missing:
                return found
            try:
                if path.stat().st_size not in {size for size, _ in missing}:
                    continue
                digest = file_sha256(path)
            except OSError:  # it was deleted or cannot be read
                continue
            if digest in {digest for _, digest in missing}:
                found[digest] = path
    return found


class PixelDifference(NamedTuple):
    """The difference of two pictures, in levels of 0..255 of their decoded sRGB pixels."""

    size_a: tuple[int, int]  # (height, width)
    size_b: tuple[int, int]
    differing: int  # pixels with a difference in any channel; all of them if the sizes differ
    largest: float
    mean: float

    @property
    def agree(self) -> bool:
        """Whether every pixel is the same."""
        return self.differing == 0

    def __str__(self) -> str:
        if self.size_a != self.size_b:
            (height_a, width_a), (height_b, width_b) = self.size_a, self.size_b
            return f"the sizes differ: {width_a}×{height_a} and {width_b}×{height_b}"
        pixels = self.size_a[0] * self.size_a[1]
        if self.agree:
            return f"all {pixels} pixels agree"
        return (
            f"{self.differing} of {pixels} pixels differ, by up to {self.largest:.4g} of 255 levels, "
            f"{self.mean:.3g} on average"
        )


def compare_pixels(a: PictureSource, b: PictureSource) -> PixelDifference:
    """Compare the decoded pixels of two pictures, each a path, the bytes of a file or a Pillow image.

    Raises:
        ImageError: one of them cannot be read.
    """
    pixels_a, pixels_b = (_levels(source) for source in (a, b))
    size_a, size_b = pixels_a.shape[:2], pixels_b.shape[:2]
    if size_a != size_b:
        return PixelDifference(size_a, size_b, size_a[0] * size_a[1], 255.0, 255.0)
    distance = np.abs(pixels_a - pixels_b)
    differing = int(distance.any(axis=-1).sum())
    return PixelDifference(size_a, size_b, differing, float(distance.max()), float(distance.mean()))


def _levels(source: PictureSource) -> npt.NDArray[np.float32]:
    pixels = decode(source)
    return (pixels if pixels.dtype == np.uint8 else pixels * np.float32(255)).astype(np.float32)


def _files_in(folder: Path, recursive: bool) -> Iterator[Path]:
    for path, folders, names in os.walk(folder):  # skips folders that cannot be read
        if not recursive:
            folders.clear()
        yield from (Path(path, name) for name in names)
