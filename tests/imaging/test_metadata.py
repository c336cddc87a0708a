"""Metadata never costs a picture its pixels: what is too large or damaged there is ignored."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.decode import decode, read

from .test_decode import encoded, p3_profile

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)
MANY = 3 * 2**20


def chunk(kind: bytes, body: bytes, *, checksum: int | None = None) -> bytes:
    """Return a PNG chunk."""
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def with_chunk(data: bytes, extra: bytes, *, last: bool = False) -> bytes:
    """Return a PNG with a chunk after its header, or before its end."""
    at = data.index(b"IEND") - 4 if last else data.index(b"IHDR") + 4 + 13 + 4
    return data[:at] + extra + data[at:]


def padded(profile: bytes) -> bytes:
    """Return a profile that is as valid and over 2 MiB long."""
    return struct.pack(">I", len(profile) + MANY) + profile[4:] + bytes(MANY)


def icc(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile))


PNG_CHUNKS = {
    "long text": chunk(b"tEXt", b"Comment\0" + b"x" * MANY),
    "text that inflates": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 * MANY))),
    "international text that inflates": chunk(b"iTXt", b"XML\0\1\0\0\0" + zlib.compress(b"y" * MANY)),
    "text with a wrong checksum": chunk(b"tEXt", b"Comment\0hello", checksum=1),
    "short pHYs": chunk(b"pHYs", b"\0"),
    "short tRNS": chunk(b"tRNS", b"\0"),
    "short gAMA": chunk(b"gAMA", b"\0"),
    "short cHRM": chunk(b"cHRM", b"\0\0"),
    "damaged profile": chunk(b"iCCP", b"profile\0\0junk"),
    "empty profile": chunk(b"iCCP", b""),
    "profile that inflates": icc(bytes(100 * MANY)),
    "damaged EXIF": chunk(b"eXIf", b"II*\0\xff\xff\xff\xffgarbage"),
    "EXIF with a wrong checksum": chunk(b"eXIf", b"MM\0*", checksum=7),
    "short acTL": chunk(b"acTL", b"\0\0\0"),
}


@pytest.mark.parametrize("last", [False, True], ids=["before the pixels", "after the pixels"])
@pytest.mark.parametrize("name", PNG_CHUNKS)
def test_no_chunk_of_a_png_costs_its_pixels(name: str, last: bool) -> None:
    data = with_chunk(encoded(PICTURE, "PNG"), PNG_CHUNKS[name], last=last)
    np.testing.assert_array_equal(decode(data), PIXELS)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_large_profile_of_a_png_is_used(mode: str) -> None:
    picture = PICTURE.convert(mode)
    small = encoded(picture, "PNG", icc_profile=p3_profile())
    large = with_chunk(encoded(picture, "PNG"), icc(padded(p3_profile())))
    np.testing.assert_array_equal(decode(large), decode(small))


def test_transparency_orientation_and_the_record_outlive_damaged_metadata() -> None:
    info = PngInfo()
    info.add_text("ganart", "record")
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = PICTURE.quantize(8)
    data = encoded(palette, "PNG", pnginfo=info, exif=exif, transparency=3)
    damaged = with_chunk(data, PNG_CHUNKS["text that inflates"])
    np.testing.assert_array_equal(decode(damaged), decode(data))
    assert decode(damaged).shape == (13, 9, 3)
    assert read(damaged).info["ganart"] == "record"


def segment(marker: int, body: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


JPEG_SEGMENTS = {
    "short JFIF": segment(0xE0, b"JFIF\0"),
    "damaged EXIF": segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "EXIF of nothing": segment(0xE1, b"Exif\0\0"),
    "profile parts that are missing": segment(0xE2, b"ICC_PROFILE\0\2\5junk"),
    "short profile": segment(0xE2, b"ICC_PROFILE\0"),
    "damaged multi-picture index": segment(0xE2, b"MPF\0junk"),
    "short Photoshop block": segment(0xED, b"Photoshop 3.0\x008BIM\4\4"),
    "short Adobe": segment(0xEE, b"Adobe"),
    "comment": segment(0xFE, b"\xff" * 60000),
}


@pytest.mark.parametrize("name", JPEG_SEGMENTS)
def test_no_segment_of_a_jpeg_costs_its_pixels(name: str) -> None:
    data = encoded(PICTURE, "JPEG")
    damaged = data[:2] + JPEG_SEGMENTS[name] + data[2:]
    np.testing.assert_array_equal(decode(damaged), decode(data))


def test_a_large_profile_of_a_jpeg_is_used_beside_damaged_metadata() -> None:
    small = encoded(PICTURE, "JPEG", icc_profile=p3_profile())
    large = encoded(PICTURE, "JPEG", icc_profile=padded(p3_profile()))
    damaged = large[:2] + JPEG_SEGMENTS["short JFIF"] + large[2:]
    np.testing.assert_array_equal(decode(large), decode(small))
    np.testing.assert_array_equal(decode(damaged), decode(small))


@pytest.mark.parametrize("form", ["WEBP", "TIFF"])
def test_a_large_profile_of_other_formats_is_used(form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    small = encoded(PICTURE, form, icc_profile=p3_profile(), **options)
    large = encoded(PICTURE, form, icc_profile=padded(p3_profile()), **options)
    np.testing.assert_array_equal(decode(large), decode(small))


def spoilt_pixels(data: bytes) -> bytes:
    at = data.index(b"IDAT") + 12
    return data[:at] + b"\xff\xff\xff" + data[at + 3 :]


def without_end(data: bytes) -> bytes:
    return data[: data.index(b"IDAT") + 40]


@pytest.mark.parametrize("spoil", [spoilt_pixels, without_end])
def test_damaged_pixels_are_still_an_error(spoil: Callable[[bytes], bytes]) -> None:
    data = spoil(with_chunk(encoded(PICTURE, "PNG"), PNG_CHUNKS["short pHYs"]))
    with pytest.raises(ImageError, match="damaged"):
        decode(data)
