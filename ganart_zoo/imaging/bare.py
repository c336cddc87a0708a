"""Copies of PNG and JPEG files without their metadata, for files whose metadata Pillow refuses to read.

Pillow limits the size of compressed metadata and rejects a file for a damaged chunk or segment that has nothing to do
with its pixels. A copy keeps what pixels depend on, and the colour profile is read here, up to a limit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

__all__ = ["MAX_PROFILE", "Bare", "png_text", "without_metadata"]

MAX_PROFILE = 2**26
"""Bytes. A larger colour profile is ignored; the largest in use, with tables for printing, have a few MiB."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# Ancillary chunks that are copied if they are intact, by their first bytes: transparency, and our record.
_COPIED = {b"tRNS": b"", b"tEXt": b"ganart\0"}
_LEAST_TRANSPARENCY = {0: 2, 2: 6}
"""Bytes of tRNS by the colour type: a grey level, or red, green and blue."""
_MOST_COPIED = 2**20
"""Bytes of one ancillary chunk."""
_JPEG_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_SCAN = 0xDA
_ADOBE, _ADOBE_LENGTH = 0xEE, 14
"""The segment that says how the colours of a JPEG are stored."""
_PROFILE_START = b"ICC_PROFILE\0"
_EXIF_START = b"Exif\0\0"


class Bare(NamedTuple):
    """A copy of a file without metadata."""

    data: bytes
    info: dict[str, bytes]
    """Entries for Pillow's `info` that the original has: `icc_profile` and `exif`, which may themselves be damaged."""


def png_text(stream: BinaryIO, keyword: str) -> str | None:
    """Return the text of a PNG under a keyword, wherever it stands; no pixels are read. None for others."""
    start = keyword.encode("latin-1") + b"\0"
    if stream.read(len(_PNG)) != _PNG:
        return None
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"tEXt" and length <= _MOST_COPIED:
            body = stream.read(length + 4)
            if body.startswith(start):
                return body[len(start) : -4].decode("latin-1")
        else:
            stream.seek(length + 4, 1)
    return None


def without_metadata(data: bytes) -> Bare | None:
    """Return a copy of a PNG or JPEG file that holds its pixels, transparency and profile; None for other files.

    Chunks that pixels depend on are copied as they are, damaged or not.
    """
    if data.startswith(_PNG):
        return _bare_png(data)
    return _bare_jpeg(data) if data.startswith(_JPEG) else None


def _bare_png(data: bytes) -> Bare:
    kept, info = [_PNG], {}
    colour_type = data[25] if len(data) > 25 else 0
    for kind, body, whole, intact in _chunks(data):
        if kind == b"tRNS" and len(body) < _LEAST_TRANSPARENCY.get(colour_type, 0):
            continue
        if not kind[0] & 0x20:  # critical, by the case of its first letter
            kept.append(whole)
        elif kind == b"iCCP" and intact and (profile := _inflated(body)):
            info["icc_profile"] = profile
        elif kind == b"eXIf" and intact:
            info["exif"] = _EXIF_START + body
        elif intact and kind in _COPIED and body.startswith(_COPIED[kind]) and len(body) <= _MOST_COPIED:
            kept.append(whole)
    return Bare(b"".join(kept), info)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes, bool]]:
    """Yield the type and the data of each PNG chunk, the whole chunk, and whether its checksum is right."""
    at = len(_PNG)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        whole = data[at : at + 12 + length]
        kind, body, check = whole[4:8], whole[8 : 8 + length], whole[8 + length :]
        yield kind, body, whole, check == struct.pack(">I", zlib.crc32(kind + body))
        at += 12 + length


def _inflated(body: bytes) -> bytes | None:
    """Return the profile in the data of an iCCP chunk: a name, a zero, the compression method, and the rest."""
    _, _, rest = body.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(rest[1:], MAX_PROFILE)
    except zlib.error:
        return None
    return profile if inflater.eof else None


def _bare_jpeg(data: bytes) -> Bare:
    kept, parts, info, at = [data[:2]], [], {}, 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _JPEG_STANDALONE:  # fill bytes, and markers without a length
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker == _SCAN:
            break
        whole = data[at : at + 2 + length]
        if 0xE0 <= marker <= 0xEF or marker == 0xFE:  # application data and comments
            if marker == _ADOBE and length >= _ADOBE_LENGTH:
                kept.append(whole)
            elif marker == 0xE2 and whole[4:].startswith(_PROFILE_START):
                parts.append(whole[4 + len(_PROFILE_START) :])
            elif whole[4:].startswith(_EXIF_START):
                info["exif"] = whole[4:]
        else:
            kept.append(whole)
        at += 2 + length
    # each part starts with its number and how many there are
    if profile := b"".join(part[2:] for part in sorted(parts)):
        info["icc_profile"] = profile
    return Bare(b"".join([*kept, data[at:]]), info)
