"""Writes PNG and TIFF files from rows of levels, as they come, with 8 or 16 bits a channel. Torch-free.

TIFF needs `tifffile`, of the extra `ganart-zoo[photos]`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from ganart_zoo.imaging.record import EXIF_IFD, EXIF_USER_COMMENT, PNG_KEYWORD, Record, to_user_comment
from ganart_zoo.imaging.source_type import MADE_BY_A_MODEL

__all__ = ["Levels", "write_png", "write_tiff"]

Levels = npt.NDArray[Any]
"""Rows `[h, W, 3]` of uint8 or uint16."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2
"""PNG's filter that subtracts the row above."""
_LEVEL = 6
_BIG = 2**32 - 2**25
"""Bytes of pixels from which on a file is a BigTIFF, whose offsets have 64 bits."""
_XMP = 700
_STRIP_BYTES = 2**20


def write_png(
    stream: BinaryIO,
    rows: Iterable[Levels],
    height: int,
    width: int,
    *,
    depth: int = 8,
    record: Callable[[], Record] | None = None,
    taken: str | None = None,
) -> None:
    """Write a PNG.

    Args:
        stream: Where to.
        rows: They fill the picture, from top to bottom.
        height: Of the picture.
        width: Of the picture.
        depth: Bits of each channel.
        record: Returns how the picture was made; called after the last row.
        taken: When the photo was taken, as EXIF has it.
    """
    stream.write(_SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)))
    deflate = zlib.compressobj(_LEVEL)
    above = np.zeros((1, width * 3 * depth // 8), np.uint8)
    for part in rows:
        values = np.ascontiguousarray(part, ">u2" if depth == 16 else np.uint8)
        levels = values.view(np.uint8).reshape(len(values), -1)
        if data := deflate.compress(_filtered(levels, above)):
            stream.write(_chunk(b"IDAT", data))
        above = levels[-1:].copy()
        del part, values, levels
    stream.write(_chunk(b"IDAT", deflate.flush()))
    if taken is not None:
        exif = Image.Exif()
        exif[EXIF_IFD] = {ExifTags.Base.DateTimeOriginal: taken}
        stream.write(_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    if record is not None:
        stream.write(_chunk(b"tEXt", PNG_KEYWORD.encode() + b"\0" + record().to_text().encode("ascii")))
        stream.write(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + MADE_BY_A_MODEL.encode()))
    stream.write(_chunk(b"IEND", b""))


def write_tiff(
    stream: BinaryIO,
    rows: Iterable[Levels],
    height: int,
    width: int,
    *,
    depth: int = 8,
    record: Callable[[], Record] | None = None,
    taken: str | None = None,
) -> None:
    """Write a TIFF, compressed without loss by Deflate; a BigTIFF from 4 GB on. Arguments are those of `write_png`.

    Args:
        stream: Can also be read, and can seek.
        rows: They fill the picture, from top to bottom.
        height: Of the picture.
        width: Of the picture.
        depth: Bits of each channel.
        record: Returns how the picture was made; called after the last row.
        taken: When the photo was taken, as EXIF has it.
    """
    import tifffile

    big = height * width * 3 * depth // 8 >= _BIG
    strip = max(1, min(height, _STRIP_BYTES // (width * 3 * depth // 8)))
    packet = MADE_BY_A_MODEL.encode()
    with tifffile.TiffWriter(stream, bigtiff=big, byteorder="<") as writer:
        writer.write(
            _strips(rows, strip),
            shape=(height, width, 3),
            dtype=np.uint16 if depth == 16 else np.uint8,
            photometric="rgb",
            compression="zlib",
            predictor=True,
            rowsperstrip=strip,
            metadata=None,
            software=False,
            extratags=() if record is None else [(_XMP, 1, len(packet), packet, True)],
            maxworkers=1,
        )
    about = {} if record is None else {EXIF_USER_COMMENT: to_user_comment(record())}
    if taken is not None:
        about[ExifTags.Base.DateTimeOriginal] = taken.encode("ascii") + b"\0"
    if about:
        _append_exif(stream, about, big)


def _strips(rows: Iterable[Levels], count: int) -> Iterator[bytes]:
    """Yield compressed strips of `count` rows: of an iterator, tifffile takes arrays as pages and bytes as strips."""
    for part in _regrouped(rows, count):
        values = np.ascontiguousarray(part, part.dtype.newbyteorder("<"))
        differences = values.copy()  # the horizontal predictor
        differences[:, 1:] -= values[:, :-1]
        yield zlib.compress(differences.tobytes(), _LEVEL)


def _regrouped(rows: Iterable[Levels], count: int) -> Iterator[Levels]:
    """Yield the same rows, `count` at a time."""
    waiting: list[Levels] = []
    held = 0
    for part in rows:
        waiting.append(part)
        held += len(part)
        if held >= count:
            whole = np.concatenate(waiting)
            full = held // count * count
            yield from (whole[top : top + count] for top in range(0, full, count))
            waiting, held = [whole[full:]], held - full
    if held:
        yield np.concatenate(waiting)


def _append_exif(stream: BinaryIO, about: Mapping[int, bytes], big: bool) -> None:
    """Add a directory of EXIF tags to a TIFF, which tifffile does not write: the main directory is copied behind it."""
    count, offset, inline, header = ("<Q", "<Q", 8, 8) if big else ("<H", "<I", 4, 4)
    entry = "<HH" + offset[1]
    size = struct.calcsize(entry) + inline

    def pointing(tag: int, kind: int, length: int, place: int) -> bytes:
        return struct.pack(entry, tag, kind, length) + struct.pack(offset, place)

    def directory(entries: Sequence[bytes]) -> bytes:
        return struct.pack(count, len(entries)) + b"".join(entries) + struct.pack(offset, 0)

    end = stream.seek(0, 2)
    stream.write(b"\0" * (-end % 8))
    start = stream.tell()
    at, entries, values = start + len(directory([bytes(size)] * len(about))), [], b""
    for tag in sorted(about):
        kind = 7 if tag == EXIF_USER_COMMENT else 2  # bytes, or text
        entries.append(pointing(tag, kind, len(about[tag]), at + len(values)))
        values += about[tag] + b"\0" * (-len(about[tag]) % 8)
    stream.write(directory(entries) + values)
    end = stream.tell()
    stream.write(b"\0" * (-end % 8))
    place = stream.tell()
    stream.seek(header)
    stream.seek(*struct.unpack(offset, stream.read(inline)))
    (tags,) = struct.unpack(count, stream.read(struct.calcsize(count)))
    main = [stream.read(size) for _ in range(tags)]
    main.append(pointing(EXIF_IFD, 16 if big else 4, 1, start))
    stream.seek(place)
    stream.write(directory(sorted(main, key=lambda one: struct.unpack_from("<H", one))))
    stream.seek(header)
    stream.write(struct.pack(offset, place))


def _filtered(levels: npt.NDArray[np.uint8], above: npt.NDArray[np.uint8]) -> bytes:
    rows = np.empty((levels.shape[0], levels.shape[1] + 1), np.uint8)
    rows[:, 0] = _UP
    rows[:1, 1:] = levels[:1] - above
    rows[1:, 1:] = levels[1:] - levels[:-1]
    return rows.tobytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
