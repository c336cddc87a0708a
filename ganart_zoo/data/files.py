"""Finds the pictures and captions below a folder, and reads lists that people wrote with other programs.

Links to folders are followed. Hidden files, runs of `ganart train`, broken links and folders that contain themselves
through a link are left out, and everything that is left out but for hidden files is reported.
"""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from collections import deque
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
    "json_of",
    "lines_of",
    "text_of",
]

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".jp2", ".j2k", ".avif"}
    | {".heic", ".heif"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
METADATA = "metadata.jsonl"
_SAMPLES = "samples"
"""The folder of a run's grids."""
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
    """Return the files in a folder and the folders below it. A folder that several paths lead to is read once."""
    found = FolderFiles()
    _Walk(found).read(root)
    for files in (found.pictures, found.metadata, found.others):
        files.sort(key=lambda file: file.relative_to(root).as_posix())
    if found.others:
        found.notes.append(f"{root}: {counted(found.others, 'file')} without a picture's suffix left out")
    return found


def counted(files: Sequence[Path], noun: str) -> str:
    """Return how many files there are, with the names of the first: `"5 files (a.heic, b.heic, c.heic, ...)"`."""
    names = ", ".join(file.name for file in files[:_MOST_NAMED])
    return f"{count_of(len(files), noun)} ({names}{', ...' * (len(files) > _MOST_NAMED)})"


class _Walk:
    """Adds the files of folders to `found`."""

    def __init__(self, found: FolderFiles) -> None:
        self._found = found
        self._links: deque[Path] = deque()
        self._read: set[Path] = set()

    def read(self, root: Path) -> None:
        """Add what is in a folder and below it. Links are followed last, so that folders keep their own paths."""
        self._add(root, root.resolve())
        again = []
        while self._links:
            link = self._links.popleft()
            real = link.resolve()
            if real not in self._read:
                self._add(link, real)
            elif real in link.parent.resolve().parents or real == link.parent.resolve():
                self._found.notes.append(f"{link}: left out, the link leads back to a folder that contains it")
            else:
                again.append(link)
        if again:
            self._found.notes.append(f"{root}: {counted(again, 'link')} to folders that are read anyway left out")

    def _add(self, folder: Path, real: Path) -> None:
        self._read.add(real)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._leave_out(folder, error)
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            try:
                self._add_entry(path, real / entry.name)
            except OSError as error:
                self._leave_out(path, error)

    def _add_entry(self, path: Path, real: Path) -> None:
        found = self._found
        if path.is_dir():
            target = path.resolve() if path.is_symlink() else real
            if _is_run(path):
                found.notes.append(f"{path}: left out, it is a run of ganart train")
            elif target.name == _SAMPLES and _is_run(target.parent):
                found.notes.append(f"{path}: left out, it holds samples of a run of ganart train")
            elif path.is_symlink():
                self._links.append(path)
            elif real not in self._read:
                self._add(path, real)
        elif path.is_file():
            if path.suffix.lower() in PICTURE_SUFFIXES:
                found.pictures.append(path)
            else:
                (found.metadata if path.name == METADATA else found.others).append(path)
        elif path.is_symlink():
            found.notes.append(f"{path}: left out, the link leads to nothing")
        else:
            found.notes.append(f"{path}: left out, it is neither a file nor a folder")

    def _leave_out(self, path: Path, error: OSError) -> None:
        self._found.notes.append(f"{path}: left out, it cannot be read ({error.strerror or error})")


def _is_run(folder: Path) -> bool:
    """Return whether a folder is a run, whose grids of samples are not pictures to learn from."""
    try:
        described = json_of((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(described, dict) and {"format", "parts"} <= described.keys()


def text_of(data: bytes) -> str:
    """Decode text in the encoding that its byte-order mark names, or else in UTF-8.

    Raises:
        UnicodeDecodeError: It is not text in that encoding.
    """
    return data.decode(json.detect_encoding(data)).removeprefix("\ufeff")


def lines_of(text: str) -> list[str]:
    """Return the lines of a text as editors count them: each ends with a line feed, a carriage return, or both.

    `str.splitlines` ends lines at characters too that a text may contain, such as U+2028.
    """
    return re.split("\r\n|\n|\r", text)


def json_of(text: str | bytes) -> Any:
    """Return the JSON value in a text.

    Raises:
        ValueError: It is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def json_lines(path: Path) -> Iterator[tuple[int, str, Any]]:
    """Yield the number and text of each line that is not blank, and the JSON value in it, or the error of parsing it.

    Raises:
        ImageError: The file cannot be read.
    """
    try:
        lines = lines_of(text_of(path.read_bytes()))
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"{path}: cannot be read ({error})") from None
    for number, line in enumerate(lines, start=1):
        text = line.strip("\ufeff \t")
        if text:
            try:
                yield number, text, json_of(text)
            except ValueError as error:
                yield number, text, error


def captions_of(root: Path, files: FolderFiles) -> list[str] | None:
    """Return the caption of each picture, `""` for those without one; None where there are no captions.

    A line on captions and pictures that have no counterpart is added to `files.notes`.

    Raises:
        ImageError: A file of captions is damaged, or none of the captions names a picture that is there.
    """
    captions: dict[str, str] = {}
    several: dict[str, None] = {}
    for metadata in files.metadata:
        fields: dict[str, None] = {}
        for number, line, entry in json_lines(metadata):
            name = entry.get("file_name") if isinstance(entry, Mapping) else None
            text = _caption(entry.get("text")) if isinstance(entry, Mapping) else None
            if not isinstance(name, str) or (text is None and entry.get("text") is not None):
                raise ImageError(
                    f'{metadata}, line {number}: expected {{"file_name": ..., "text": ...}}, found {line!a:.80}'
                )
            fields.update(dict.fromkeys(entry))
            if text is not None:
                key = _key(metadata.parent / name)
                if captions.get(key, text) != text:
                    several[key] = None
                captions[key] = text
        if fields and "text" not in fields:
            files.notes.append(f'{metadata}: no captions, for its lines have no "text", but {", ".join(fields)}')
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
    if several:
        files.notes.append(
            f"{root}: {counted([*map(Path, several)], 'picture')} with several captions; the last counts"
        )
    alone = [Path(key) for key in captions if key not in named]
    bare = [file for file, key in zip(files.pictures, keys, strict=True) if key not in named]
    if alone:
        files.notes.append(f"{root}: {counted(alone, 'caption')} name no picture that is there")
    if bare:
        files.notes.append(f"{root}: {counted(bare, 'picture')} of {len(keys)} have no caption")
    return [captions.get(key, "") for key in keys]


def _caption(value: object) -> str | None:
    """Return a caption as text; None for what is none, such as a list or NaN."""
    if isinstance(value, str):
        return value
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return str(value) if number else None


def _key(path: Path) -> str:
    """Return a path as it is compared: some systems store names with accents as two characters."""
    return unicodedata.normalize("NFC", os.path.normpath(path))
