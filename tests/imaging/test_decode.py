"""Every kind of stored pixel becomes upright sRGB; every bad file becomes one clear line."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.imaging.decode import decode, read

# Columns are the red, green and blue primaries in the profile connection space (XYZ, D50), from the published profiles.
SRGB_TO_XYZ = np.array(((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410)))
P3_TO_XYZ = np.array(((0.51512, 0.29198, 0.15710), (0.24120, 0.69225, 0.06657), (-0.00105, 0.04189, 0.78407)))
D50 = (0.9642, 1.0, 0.8249)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand, for what Pillow reads but does not write. `rows` are unfiltered, without filter bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    stride = len(rows) // height if rows else 0
    scanlines = b"".join(b"\0" + rows[y * stride : (y + 1) * stride] for y in range(height if rows else 0))
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = b"".join(chunk(name, content) for name, content in extra)
    data = chunk(b"IDAT", zlib.compress(scanlines)) if rows else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + data + chunk(b"IEND", b"")


def icc_profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A minimal version 2 display profile."""
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz(D50),
        **tags,
    }
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    header = struct.pack(">I", size) + b"\0\0\0\0\x02\x20\0\0mntr" + space + b"XYZ "
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + xyz(D50)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def xyz(values: Any) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def gamma_curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def p3_profile() -> bytes:
    columns = {name: xyz(P3_TO_XYZ[:, index]) for index, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma_curve(2.0))
    return icc_profile(b"RGB ", {**columns, **curves})


def grey_profile(gamma: float) -> bytes:
    return icc_profile(b"GRAY", {b"kTRC": gamma_curve(gamma)})


def srgb_curve(linear: Any) -> Any:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


# Where stored[row, column] lies in the upright picture, from EXIF's definition of tag 274: what side of the scene the
# 0th row and the 0th column show.
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,  # top, left
    2: lambda upright: upright[:, ::-1],  # top, right
    3: lambda upright: upright[::-1, ::-1],  # bottom, right
    4: lambda upright: upright[::-1],  # bottom, left
    5: lambda upright: upright.swapaxes(0, 1),  # left, top
    6: lambda upright: upright[:, ::-1].swapaxes(0, 1),  # right, top
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda upright: upright[::-1].swapaxes(0, 1),  # left, bottom
}


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_undone(orientation: int, form: str, rng: np.random.Generator) -> None:
    upright = rng.integers(0, 256, (5, 3, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    options = {"lossless": True} if form == "WEBP" else {}
    np.testing.assert_array_equal(decode(encoded(stored, form, exif=exif, **options)), upright)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0"])
def test_damaged_exif_costs_only_itself(exif: bytes) -> None:
    picture = encoded(Image.new("RGB", (4, 3), (200, 100, 50)), "PNG", exif=exif)
    np.testing.assert_array_equal(decode(picture), np.broadcast_to((200, 100, 50), (3, 4, 3)))


def test_an_orientation_that_does_not_exist_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 9
    assert decode(encoded(Image.new("RGB", (4, 3)), "PNG", exif=exif)).shape == (3, 4, 3)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_keep_every_level(form: str) -> None:
    levels = np.arange(768, dtype=np.uint16).reshape(16, 16, 3).astype(np.uint8)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(levels), form)), levels)


def test_jpeg_matches_pillows_own_decoder(rng: np.random.Generator) -> None:
    picture = encoded(Image.fromarray(rng.integers(0, 256, (33, 17, 3), dtype=np.uint8)), "JPEG")
    np.testing.assert_array_equal(decode(picture), np.asarray(Image.open(io.BytesIO(picture))))


def test_alpha_is_blended_over_the_ground(rng: np.random.Generator) -> None:
    rgba = rng.integers(0, 256, (7, 6, 4), dtype=np.uint8)
    ground = (0.2, 0.4, 0.9)
    share = rgba[..., 3:] / 255
    expected = rgba[..., :3] / 255 * share + np.array(ground) * (1 - share)
    np.testing.assert_allclose(decode(encoded(Image.fromarray(rgba), "PNG"), ground=ground), expected, atol=1e-6)


def test_grey_with_alpha(rng: np.random.Generator) -> None:
    values = rng.integers(0, 256, (7, 6, 2), dtype=np.uint8)
    share = values[..., 1:] / 255
    expected = np.repeat(values[..., :1] / 255 * share + (1 - share), 3, axis=-1)
    np.testing.assert_allclose(decode(encoded(Image.fromarray(values), "PNG")), expected, atol=1e-6)


def test_palette_with_transparency() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    picture = encoded(image, "PNG", transparency=bytes((255, 0, 51)))  # opaque, clear, a fifth
    expected = [[[1, 0, 0], [0, 0, 0], [0, 0, 0.2]]]
    np.testing.assert_allclose(decode(picture, ground=(0, 0, 0)), expected, atol=1e-6)


def test_one_transparent_colour() -> None:
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    image.putpixel((1, 0), (10, 20, 31))
    expected = [[[1, 1, 1], [10 / 255, 20 / 255, 31 / 255]]]
    np.testing.assert_allclose(decode(encoded(image, "PNG", transparency=(10, 20, 30))), expected, atol=1e-6)


def test_one_bit() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode(encoded(image, "PNG")), [[[0, 0, 0], [255, 255, 255]]])


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_depth(form: str) -> None:
    levels = np.array([[0, 1, 255, 256, 32768, 65535]], dtype=np.uint16)
    pixels = decode(encoded(Image.fromarray(levels), form))
    np.testing.assert_allclose(pixels, np.repeat(levels[..., np.newaxis] / 65535, 3, axis=-1), atol=1e-7)


def test_sixteen_bit_grey_with_a_transparent_level() -> None:
    rows = struct.pack(">2H", 1000, 1001)
    pixels = decode(png(2, 1, 16, 0, rows, (b"tRNS", struct.pack(">H", 1000))), ground=(1, 0, 0))
    np.testing.assert_allclose(pixels, [[[1, 0, 0], [1001 / 65535] * 3]], atol=1e-7)


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (6, 4), (4, 2)])
def test_sixteen_bit_colour_is_right_to_eight_bits(colour_type: int, channels: int, rng: np.random.Generator) -> None:
    values = rng.integers(0, 65536, (4, 5, channels), dtype=np.uint16)
    if channels in (2, 4):
        values[..., -1] = 65535
    pixels = decode(png(5, 4, 16, colour_type, values.astype(">u2").tobytes()))
    colour = values[..., :3] if channels > 2 else np.repeat(values[..., :1], 3, axis=-1)
    top = 255 if pixels.dtype == np.uint8 else 1  # float32 where the extra that reads all bits is installed
    np.testing.assert_allclose(pixels / top, colour / 65535, atol=1 / 255)


def test_floating_point_within_range() -> None:
    values = np.array([[0.0, 0.25, 1.0]], dtype=np.float32)
    pixels = decode(encoded(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(pixels, np.repeat(values[..., np.newaxis], 3, axis=-1))


@pytest.mark.parametrize("value", [-0.5, 1.5, np.nan])
def test_floating_point_outside_its_range_is_refused(value: float) -> None:
    picture = encoded(Image.fromarray(np.array([[0.0, value]], dtype=np.float32)), "TIFF")
    with pytest.raises(ImageError, match=r"F pixels reach from .*expected 0\.\.1"):
        decode(picture)


def test_cmyk_jpeg() -> None:
    pixels = decode(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    np.testing.assert_allclose(pixels, np.broadcast_to((255, 0, 0), (16, 16, 3)), atol=3)


def test_lab_tiff() -> None:
    # L* 53.2, a* 80, b* 67 is sRGB red, within the eight bits of its encoding.
    image = Image.frombytes("LAB", (1, 1), bytes((round(53.2 * 2.55), 80, 67)))
    np.testing.assert_allclose(decode(encoded(image, "TIFF"))[0, 0].astype(int), (255, 0, 0), atol=12)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_of_an_animation_the_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (8, 6), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    picture = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(decode(picture), np.broadcast_to((255, 0, 0), (6, 8, 3)), atol=2)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_wide_gamut_profile_is_converted(form: str) -> None:
    stored = (150, 120, 90)
    linear = np.linalg.inv(SRGB_TO_XYZ) @ P3_TO_XYZ @ (np.array(stored) / 255) ** 2.0
    picture = encoded(Image.new("RGB", (16, 16), stored), form, icc_profile=p3_profile(), quality=100)
    expected = np.broadcast_to(srgb_curve(linear) * 255, (16, 16, 3))
    assert np.abs(expected[0, 0] - stored).max() > 4  # else the test would pass without a conversion
    np.testing.assert_allclose(decode(picture), expected, atol=2)


def test_profile_and_alpha_together() -> None:
    linear = np.linalg.inv(SRGB_TO_XYZ) @ P3_TO_XYZ @ (np.array((150, 120, 90)) / 255) ** 2.0
    picture = encoded(Image.new("RGBA", (2, 2), (150, 120, 90, 102)), "PNG", icc_profile=p3_profile())
    np.testing.assert_allclose(decode(picture)[0, 0], srgb_curve(linear) * 0.4 + 0.6, atol=2 / 255)


def test_grey_profile_at_eight_bits() -> None:
    picture = encoded(Image.new("L", (2, 2), 64), "PNG", icc_profile=grey_profile(1.0))
    np.testing.assert_allclose(decode(picture), np.full((2, 2, 3), srgb_curve(64 / 255) * 255), atol=1)


def test_grey_profile_at_sixteen_bits() -> None:
    levels = np.array([[4000, 20000, 65535]], dtype=np.uint16)
    picture = encoded(Image.fromarray(levels), "PNG", icc_profile=grey_profile(1.0))
    expected = np.repeat(srgb_curve(levels / 65535)[..., np.newaxis], 3, axis=-1)
    np.testing.assert_allclose(decode(picture), expected, atol=1.5 / 255)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK"])
@pytest.mark.parametrize(
    "profile", [b"not a profile", p3_profile()[:200], grey_profile(1.0)[:150]], ids=["junk", "cut", "cut grey"]
)
def test_a_useless_profile_is_ignored(profile: bytes, mode: str) -> None:
    image = Image.new(mode, (3, 2))
    form = "TIFF" if mode == "CMYK" else "PNG"
    np.testing.assert_array_equal(decode(encoded(image, form, icc_profile=profile)), decode(encoded(image, form)))


def test_a_profile_for_another_kind_of_picture_is_ignored() -> None:
    picture = encoded(Image.new("RGB", (2, 2), (9, 8, 7)), "PNG", icc_profile=grey_profile(1.0))
    np.testing.assert_array_equal(decode(picture)[0, 0], (9, 8, 7))


def test_the_callers_pillow_image_is_left_as_it_was() -> None:
    image = Image.new("P", (3, 2), 1)
    image.info["transparency"] = 1
    decode(image)
    assert image.mode == "P"
    assert image.size == (3, 2)
    assert image.info == {"transparency": 1}


@pytest.mark.parametrize("size", [(1, 1), (20000, 3), (3, 20000)])
def test_extreme_shapes(size: tuple[int, int]) -> None:
    assert decode(encoded(Image.new("L", size, 7), "PNG")).shape == (size[1], size[0], 3)


def bitmap_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "bomb",
    [
        png(100_000, 100_000, 8, 2, b""),
        png(2**31 - 1, 2**31 - 1, 1, 0, b""),
        bitmap_header(60_000, 60_000),
        b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0" + b",\0\0\0\0\xff\xff\xff\xff\0\x08\0",
        b"P5 90000 90000 255\n",
    ],
    ids=["png", "huge png", "bmp", "gif", "pgm"],
)
def test_giant_declared_sizes_are_refused(bomb: bytes) -> None:
    with pytest.raises(ImageError, match="more than the limit of 134217728"):
        decode(bomb)


def test_the_limit_can_be_moved() -> None:
    picture = encoded(Image.new("L", (10, 10)), "PNG")
    assert decode(picture, max_pixels=100).shape == (10, 10, 3)
    with pytest.raises(ImageError, match="10×10 pixels, more than the limit of 99; scale it down with another"):
        decode(picture, max_pixels=99)
    with pytest.raises(ImageError, match="limit of 99"):
        decode(Image.new("L", (10, 10)), max_pixels=99)


def test_pillows_own_limit_neither_warns_nor_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode(encoded(Image.new("L", (10, 10)), "PNG")).shape == (10, 10, 3)


def test_text_that_inflates_is_not_inflated_and_costs_no_pixels() -> None:
    text = b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    tracemalloc.start()
    try:
        assert decode(png(1, 1, 8, 0, b"\x80", (b"zTXt", text))).tolist() == [[[128, 128, 128]]]
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_files_cut_short(form: str, share: float, tmp_path: Path, rng: np.random.Generator) -> None:
    whole = encoded(Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)), form)
    path = tmp_path / "cut.img"
    path.write_bytes(whole[: max(9, int(len(whole) * share))])
    with pytest.raises(ImageError) as caught:
        decode(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000"])
def test_damaged_bytes_raise_nothing_but_image_errors(form: str, rng: np.random.Generator) -> None:
    whole = encoded(Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)), form)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(3, len(whole), 4):
            damaged[place] = rng.integers(0, 256)
        try:
            pixels = decode(bytes(damaged), max_pixels=2**20)
        except ImageError:
            continue
        assert pixels.shape[2] == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\); expected a picture"),
        (b"hello", r"not a picture of a known format \(PNG, JPEG, WEBP"),
        (b"P", "PPM|not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture of a known format"),
        (b"\x89PNG\r\n\x1a\n", "damaged PNG"),
        (b"\xff\xd8\xff", "damaged"),
    ],
)
def test_what_is_no_picture(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        decode(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_pillow_built_without_a_format_reads_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    for form in ("WEBP", "AVIF"):
        monkeypatch.delitem(Image.OPEN, form, raising=False)
    assert decode(encoded(Image.new("RGB", (2, 2)), "GIF")).shape == (2, 2, 3)
    monkeypatch.setitem(Image.OPEN, "WEBP", (None, lambda prefix: "WEBP support is not installed"))
    with pytest.raises(ImageError, match="picture of 4 bytes: WEBP support is not installed"):
        decode(b"RIFF")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere\.png: there is no such file"):
        decode(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match=f"^{tmp_path}: is a folder; expected a picture file$"):
        decode(str(tmp_path))


def test_bytes_and_pillow_images_are_named_in_errors() -> None:
    with pytest.raises(ImageError, match=r"^picture of 5 bytes: "):
        decode(b"hello")
    with pytest.raises(ImageError, match=r"^Pillow image: is 0×5 pixels"):
        decode(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize("ground", [(1, 1), (0, 0, 1.5), (-1, 0, 0), (float("nan"), 0, 0)])
def test_impossible_grounds(ground: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="ground is"):
        decode(Image.new("RGB", (1, 1)), ground=ground)


def test_read_leaves_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    Image.new("P", (2, 2)).save(path)
    image = read(path)
    path.unlink()
    assert image.getpixel((0, 0)) == 0  # pixels are in memory; pytest turns an unclosed file into an error
    with pytest.raises(SettingsError, match="max_pixels is 0"):
        read(image, max_pixels=0)


def test_200_megapixels_are_accepted_for_a_small_result(tmp_path: Path) -> None:
    stripes = np.zeros((10_000, 20_000), np.uint8)
    stripes[:, 10_000:] = 200
    Image.fromarray(stripes).save(tmp_path / "large.jpg", quality=50)
    pixels = decode(tmp_path / "large.jpg", long_side=512)
    assert pixels.shape == (1250, 2500, 3)
    assert np.abs(pixels.mean(axis=(0, 2)) - np.repeat([0.0, 200.0], 1250)).max() < 3
    with pytest.raises(ImageError, match="declares 20000×10000 pixels, more than the limit"):
        decode(tmp_path / "large.jpg")


def test_a_large_jpeg_is_decoded_small_for_a_small_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganart_zoo.imaging.decode._LARGE", 100_000)
    ramp = np.linspace(0, 255, 800, dtype=np.uint8)
    Image.fromarray(np.stack([np.broadcast_to(ramp, (400, 800))] * 3, axis=-1)).save(tmp_path / "wide.jpg", quality=95)
    small = decode(tmp_path / "wide.jpg", max_pixels=50_000, long_side=100)
    assert small.shape == (100, 200, 3)  # a quarter, which is twice the result
    expected = np.linspace(0, 255, 200)
    assert np.abs(small.mean(axis=(0, 2)) - expected).max() < 4
    with pytest.raises(ImageError, match="declares 800×400 pixels, more than the limit of 50000; scale it down"):
        decode(tmp_path / "wide.jpg", max_pixels=50_000, long_side=300)
