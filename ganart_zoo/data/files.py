"""Finds the pictures and captions below a folder, and reads lists that people wrote with other programs.

Links to folders are followed. Hidden files, runs of `ganart train` and folders that contain themselves through a link
are left out, and everything that is left out but for hidden files is reported.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganart_zoo.contract.errors import ImageError, count_of

__all__ = [
    "METADATA",
    "PICTURE_SUFFIXES",
    "FolderFiles",
    "captions_of",
    "counted",
    "files_below",
    "json_lines",
    "text_of",
]

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".jp2", ".j2k", ".avif"}
    | {".heic", ".heif"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
METADATA = "metadata.jsonl"
_MOST_NAMED = 3
"""Files that a report names."""


@dataclass
class FolderFiles:
    """What lies below a folder, sorted by path."""

    pictures: list[Path] = field(default_factory=list)
    metadata: list[Path] = field(default_factory=list)
    """Files of captions."""
    others: list[Path] = field(default_factory=list)
    """Files that are neither."""
    notes: list[str] = field(default_factory=list)
    """A line on each folder that was left out."""


def files_below(root: Path) -> FolderFiles:
    """Return the files in a folder and the folders below it."""
    found = FolderFiles()
    _add_files(root, found, (root.resolve(),))
    for files in (found.pictures, found.metadata, found.others):
        files.sort(key=lambda file: file.relative_to(root).as_posix())
    if found.others:
        found.notes.append(f"{root}: {counted(found.others, 'file')} without a picture's suffix left out")
    return found


def counted(files: Sequence[Path], noun: str) -> str:
    """Return how many files there are, with the names of the first: `"5 files (a.heic, b.heic, c.heic, ...)"`."""
    names = ", ".join(file.name for file in files[:_MOST_NAMED])
    return f"{count_of(len(files), noun)} ({names}{', ...' * (len(files) > _MOST_NAMED)})"


def _add_files(folder: Path, found: FolderFiles, parents: tuple[Path, ...]) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        found.notes.append(f"{folder}: left out, it cannot be read ({error.strerror or error})")
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if path.is_dir():
            real = path.resolve()
            if real in parents:
                found.notes.append(f"{path}: left out, the link leads back to a folder that contains it")
            elif _is_run(path):
                found.notes.append(f"{path}: left out, it is a run of ganart train")
            else:
                _add_files(path, found, (*parents, real))
        elif path.is_file():
            if path.suffix.lower() in PICTURE_SUFFIXES:
                found.pictures.append(path)
            else:
                (found.metadata if path.name == METADATA else found.others).append(path)


def _is_run(folder: Path) -> bool:
    """Return whether a folder is a run, whose grids of samples are not pictures to learn from."""
    try:
        described = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(described, dict) and {"format", "parts"} <= described.keys()


def text_of(data: bytes) -> str:
    """Decode text in the encoding that its byte-order mark names, or else in UTF-8.

    Raises:
        UnicodeDecodeError: It is not text in that encoding.
    """
    return data.decode(json.detect_encoding(data)).removeprefix("\ufeff")


def json_lines(path: Path) -> Iterator[tuple[int, str, Any]]:
    """Yield the number and text of each line that is not blank, and the JSON value in it, or the error of parsing it.

    Raises:
        ImageError: The file cannot be read.
    """
    try:
        # Only line feeds end a line: str.splitlines also splits at characters that a JSON string may contain.
        lines = text_of(path.read_bytes()).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{path}: cannot be read ({error})") from None
    for number, line in enumerate(lines, start=1):
        text = line.strip("\ufeff \t\r")
        if text:
            try:
                yield number, text, json.loads(text)
            except ValueError as error:
                yield number, text, error


def captions_of(root: Path, files: FolderFiles) -> list[str] | None:
    """Return the caption of each picture, `""` for those without one; None where there are no captions.

    A line on captions and pictures that have no counterpart is added to `files.notes`.

    Raises:
        ImageError: A file of captions is damaged, or none of the captions names a picture that is there.
    """
    captions: dict[str, str] = {}
    for metadata in files.metadata:
        for number, line, entry in json_lines(metadata):
            name = entry.get("file_name") if isinstance(entry, Mapping) else None
            if not isinstance(name, str):
                raise ImageError(
                    f'{metadata}, line {number}: expected {{"file_name": ..., "text": ...}}, found {line!a:.80}'
                )
            if (text := entry.get("text")) is not None:
                captions[_key(metadata.parent / name)] = str(text)
    if not captions:
        return None
    keys = [_key(file) for file in files.pictures]
    named = captions.keys() & {*keys}
    if not named:
        caption, picture = Path(next(iter(captions))).name, files.pictures[0].name
        raise ImageError(
            f"{root}: none of the {len(captions)} captions in {METADATA} names one of the {len(keys)} pictures; "
            f"the first caption is of {caption!r}, the first picture is {picture!r}"
        )
    alone = [Path(key) for key in captions if key not in named]
    bare = [file for file, key in zip(files.pictures, keys, strict=True) if key not in named]
    if alone:
        files.notes.append(f"{root}: {counted(alone, 'caption')} name no picture that is there")
    if bare:
        files.notes.append(f"{root}: {counted(bare, 'picture')} of {len(keys)} have no caption")
    return [captions.get(key, "") for key in keys]


def _key(path: Path) -> str:
    """Return a path as it is compared: some systems store names with accents as two characters."""
    return unicodedata.normalize("NFC", os.path.normpath(path))
