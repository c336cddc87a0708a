"""Sixteen bits a channel, TIFF, AVIF and HEIC: read and written as other programs do, with record and capture date."""

from __future__ import annotations

import builtins
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms

from ganart_zoo import imaging
from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.imaging.decode import capture_date, decode, picture_sides
from ganart_zoo.imaging.formats import check_suffix
from ganart_zoo.imaging.images import encode, load, save
from ganart_zoo.imaging.record import read_record
from ganart_zoo.imaging.strips import RowSource, save_strips

from .test_decode import STORED, encoded, p3_profile
from .test_record import RECORD

TAKEN = "2026:11:28 12:36:00"
imagecodecs = pytest.importorskip("imagecodecs")
tifffile = pytest.importorskip("tifffile")
pillow_heif = pytest.importorskip("pillow_heif")


@pytest.fixture
def levels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, (61, 43, 3), dtype=np.uint16)


def stored_tiff(values: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric="rgb", **options)
    return stream.getvalue()


def as_picture(levels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(levels.astype(np.float64) / 65535).permute(2, 0, 1)[None]


def lacking(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make imports of these modules fail, as where an extra is not installed."""
    real, find = builtins.__import__, __import__("importlib.util").util.find_spec

    def fake(name: str, *arguments: Any, **more: Any) -> Any:
        if name.split(".")[0] in names:
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", fake)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name in names else find(name, *more))


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("strips", [False, True], ids=["whole", "strips"])
def test_sixteen_bits_reach_the_file_and_come_back(
    suffix: str, strips: bool, levels: np.ndarray, tmp_path: Path
) -> None:
    path, picture = tmp_path / f"a.{suffix}", as_picture(levels)
    if strips:
        parts = (picture[..., top : top + 7, :] for top in range(0, 61, 7))
        save_strips(parts, path, 61, 43, depth=16, record=lambda: RECORD, taken=TAKEN)
    else:
        save(picture, path, depth=16, record=RECORD, taken=TAKEN)
    found = imagecodecs.png_decode(path.read_bytes()) if suffix == "png" else tifffile.imread(path)
    np.testing.assert_array_equal(found, levels)
    np.testing.assert_array_equal(decode(path), levels.astype(np.float32) / np.float32(65535))
    assert read_record(path) == RECORD
    assert capture_date(path) == TAKEN
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", ["jpg", "webp", "tif", "avif", "heic"])
@pytest.mark.parametrize("strips", [False, True], ids=["whole", "strips"])
def test_every_format_keeps_the_record_and_the_date(suffix: str, strips: bool, tmp_path: Path) -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 48, 64)
    path = tmp_path / f"a.{suffix}"
    if strips:
        save_strips([ramp[..., :40, :], ramp[..., 40:, :]], path, 48, 64, record=lambda: RECORD, taken=TAKEN)
    else:
        save(ramp, path, record=RECORD, taken=TAKEN)
    assert (load(path) - ramp).abs().max() < 5 / 255
    assert read_record(path) == RECORD
    assert capture_date(path) == TAKEN
    assert picture_sides(path) == (64, 48)
    if suffix != "tif":  # whose XMP Pillow gives under another name
        header = path.read_bytes()
        assert b"trainedAlgorithmicMedia" in header


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_the_record_of_a_picture_too_large_to_decode_is_read(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_strips([torch.rand(1, 3, 20, 30)], tmp_path / f"a.{suffix}", 20, 30, record=lambda: RECORD)
    save_strips([torch.rand(1, 3, 20, 30)], tmp_path / f"b.{suffix}", 20, 30)
    monkeypatch.setattr("ganart_zoo.imaging.record.MAX_PIXELS", 599)
    assert read_record(tmp_path / f"a.{suffix}") == RECORD
    with pytest.raises(ImageError, match="carries no ganart record"):
        read_record(tmp_path / f"b.{suffix}")


def test_a_tiff_is_what_pillow_reads(levels: np.ndarray, tmp_path: Path) -> None:
    save(as_picture(levels), tmp_path / "a.tif", record=RECORD, taken=TAKEN)
    with Image.open(tmp_path / "a.tif") as image:
        assert image.info["compression"] == "tiff_adobe_deflate"
        assert b"trainedAlgorithmicMedia" in image.info["xmp"]
        np.testing.assert_array_equal(np.asarray(image), np.rint(levels / 257).astype(np.uint8))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("strips", [False, True], ids=["whole", "strips"])
def test_a_tiff_of_several_strips_is_what_libtiff_reads(
    depth: int, strips: bool, levels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr("ganart_zoo.imaging.row_writers._STRIP_BYTES", 43 * 3 * 2 * 8)  # 8 or 16 rows
    picture, path = as_picture(levels), tmp_path / "a.tif"
    if strips:
        save_strips((picture[..., top : top + 13, :] for top in range(0, 61, 13)), path, 61, 43, depth=depth)
    else:
        save(picture, path, depth=depth)
    expected = levels if depth == 16 else np.rint(levels / 257).astype(np.uint8)
    found = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found[..., ::-1], expected)
    with Image.open(path) as image:
        assert len(image.tag_v2[273]) == -(-61 // (8 if depth == 16 else 16))
        np.testing.assert_array_equal(np.asarray(image), (expected >> (depth - 8)).astype(np.uint8))


def test_a_picture_that_an_encoder_refuses_is_kept_as_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("cannot reshape")

    monkeypatch.setattr("ganart_zoo.imaging.encoders.write_tiff", fail)
    picture = torch.full((1, 3, 4, 4), 0.2)
    with pytest.raises(ImageError, match=r"a\.tif: not written as TIFF: cannot reshape; .* kept as .*a\.tif\.png"):
        save(picture, tmp_path / "a.tif", depth=16, record=RECORD)
    assert np.abs(decode(tmp_path / "a.tif.png") - 0.2).max() < 1 / 65535
    assert read_record(tmp_path / "a.tif.png") == RECORD


def test_a_big_tiff_has_the_same_metadata(levels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganart_zoo.imaging.row_writers._BIG", 1)
    save(as_picture(levels), tmp_path / "a.tiff", depth=16, record=RECORD, taken=TAKEN)
    with tifffile.TiffFile(tmp_path / "a.tiff") as file:
        assert file.is_bigtiff
        assert file.pages.first.tags[34665].value["DateTimeOriginal"] == TAKEN
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tiff"), levels)
    assert read_record(tmp_path / "a.tiff") == RECORD


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw", "predictor": True},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"tile": (16, 16)},
        {"planarconfig": "separate"},
    ],
    ids=["plain", "lzw", "bigtiff", "big endian", "tiles", "planes"],
)
def test_deep_tiffs_of_other_programs_are_read_whole(options: dict[str, Any], levels: np.ndarray) -> None:
    stored = levels.transpose(2, 0, 1) if "planarconfig" in options else levels
    data = stored_tiff(np.ascontiguousarray(stored), **options)
    np.testing.assert_array_equal(decode(data), levels.astype(np.float32) / np.float32(65535))
    source = RowSource(data)
    rows = torch.cat([source(0, 10), source(10, 61)], dim=2)
    assert torch.equal(rows, load(data))


@pytest.mark.parametrize("orientation", STORED)
def test_deep_pictures_are_turned_upright(orientation: int, levels: np.ndarray) -> None:
    data = stored_tiff(np.ascontiguousarray(STORED[orientation](levels)), extratags=[(274, 3, 1, orientation, True)])
    np.testing.assert_array_equal(decode(data), levels.astype(np.float32) / np.float32(65535))


def test_deep_transparency_is_blended(levels: np.ndarray) -> None:
    alpha = np.full((61, 43, 1), 16384, np.uint16)
    data = imagecodecs.png_encode(np.concatenate([levels, alpha], axis=2))
    share = 16384 / 65535
    expected = levels / 65535 * share + np.array([1, 0.5, 0]) * (1 - share)
    np.testing.assert_allclose(decode(data, ground=(1, 0.5, 0)), expected, atol=1e-6)


def test_a_profile_of_deep_colour_is_converted_with_its_depth(levels: np.ndarray) -> None:
    ramp = np.repeat(np.arange(0, 65536, 16, dtype=np.uint16)[None, :, None], 3, axis=2)
    deep = decode(stored_tiff(ramp, iccprofile=p3_profile()))
    eight = decode(encoded(Image.fromarray((ramp >> 8).astype(np.uint8)), "TIFF", icc_profile=p3_profile()))
    assert np.abs(deep - eight / 255).max() < 2.5 / 255
    assert len(np.unique(deep[0, :, 1])) > 3500  # of 4096 levels; 256 had it been cut
    # a profile for another kind of picture is ignored
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    np.testing.assert_array_equal(decode(stored_tiff(levels, iccprofile=lab)), decode(stored_tiff(levels)))


def test_without_the_extra_deep_colour_is_cut_with_a_word(
    levels: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = imagecodecs.png_encode(levels)
    lacking(monkeypatch, "imagecodecs", "tifffile")
    np.testing.assert_allclose(decode(data) / 255, levels / 65535, atol=1 / 255)
    assert "read with 8 of its 16 bits; pip install 'ganart-zoo[photos]'" in caplog.text


def test_without_the_extra_its_formats_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = torch.zeros(1, 3, 32, 32)
    heic = encode(picture, "heic")
    lacking(monkeypatch, "tifffile", "pillow_heif")
    with pytest.raises(ImageError, match=r"^out\.tif: writing TIFF needs tifffile; pip install 'ganart-zoo\[photos\]'"):
        check_suffix("out.tif")
    with pytest.raises(ImageError, match=r"^out\.HEIC: writing HEIF needs pillow-heif; pip install"):
        check_suffix("out.HEIC")
    with pytest.raises(ImageError, match=r"HEIC needs pillow-heif; pip install 'ganart-zoo\[photos\]'"):
        decode(heic)


def test_the_depth_is_checked_before_work() -> None:
    with pytest.raises(ImageError, match=r"out\.jpg: JPEG is written with 8 bits a channel; end .* \.png or \.tif"):
        check_suffix("out.jpg", 16)
    with pytest.raises(SettingsError, match="depth is 12, expected 8 or 16"):
        imaging.save(torch.zeros(1, 3, 2, 2), "out.png", depth=12)


def test_a_photo_of_a_telephone_is_read_upright_without_its_position(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[0x8769] = {ExifTags.Base.DateTimeOriginal: TAKEN}
    exif[0x8825] = {2: (48.0, 8.0, 0.0)}
    half = np.zeros((32, 64, 3), np.uint8)
    half[:, :32] = 255
    pillow_heif.from_pillow(Image.fromarray(half)).save(tmp_path / "a.heic", exif=exif.tobytes(), quality=95)
    pixels = decode(tmp_path / "a.heic")
    assert pixels.shape == (64, 32, 3)
    assert capture_date(tmp_path / "a.heic") == TAKEN
    save(load(tmp_path / "a.heic"), tmp_path / "b.heic", taken=capture_date(tmp_path / "a.heic"))
    with Image.open(io.BytesIO(encoded(pillow_heif.open_heif(tmp_path / "b.heic").to_pillow(), "PNG"))) as image:
        assert not image.getexif().get_ifd(0x8825)
    with pytest.raises(ImageError, match=r"declares \d+×\d+ pixels, more than the limit of 100"):
        decode(tmp_path / "a.heic", max_pixels=100)


@pytest.mark.parametrize("suffix", ["heic", "avif", "tif"])
def test_files_cut_short_raise_nothing_but_image_errors(suffix: str, tmp_path: Path) -> None:
    data = encode(torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)), suffix)
    for share in (0.05, 0.3, 0.9):
        (tmp_path / "a").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ImageError):
            decode(tmp_path / "a")
