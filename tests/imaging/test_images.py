"""Loading, saving and scaling, against Pillow and plain arithmetic."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganart_zoo import imaging
from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.imaging.images import check_suffix


def random_images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def test_load_gives_what_pillow_reads(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(levels).save(path)
    for source in (path, str(path), path.read_bytes(), Image.fromarray(levels)):
        images = imaging.load(source)
        assert images.shape == (1, 3, 5, 7)
        assert images.dtype == torch.float32
        assert images.is_contiguous()
        np.testing.assert_allclose(images[0].permute(1, 2, 0).numpy() * 255, levels, atol=1e-4)


def test_loaded_pixels_are_the_callers_own() -> None:
    image = Image.new("F", (2, 2), 0.5)
    imaging.load(image).zero_()
    assert image.getpixel((0, 0)) == 0.5


def test_load_scales_the_long_side_and_stays_in_range() -> None:
    edge = Image.new("L", (40, 20))
    edge.paste(255, (20, 0, 40, 20))
    for size in (16, 64):  # bicubic overshoots on both sides of the edge
        images = imaging.load(edge, size=size)
        assert images.shape == (1, 3, size // 2, size)
        assert images.min() == 0
        assert images.max() == 1


@pytest.mark.parametrize(("least", "wanted"), [(8, (8, 16)), (15, (16, 32)), (40, (64, 128)), (65, (64, 128))])
def test_a_jpeg_decodes_at_a_half_or_less_where_asked(least: int, wanted: tuple[int, int], tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 128, dtype=np.uint8)[None, :, None].repeat(64, axis=0).repeat(3, axis=2)
    for name in ("ramp.jpg", "ramp.png"):
        Image.fromarray(ramp).save(tmp_path / name)
    image = imaging.load(tmp_path / "ramp.jpg", least_side=least)
    assert image.shape[-2:] == wanted
    step = 128 // wanted[1]
    expected = torch.from_numpy(ramp[0, :, 0].astype(np.float32) / 255).view(-1, step).mean(1)
    assert (image[0, :, 3] - expected).abs().max() < 0.02
    assert imaging.load(tmp_path / "ramp.png", least_side=least).shape[-2:] == (64, 128)


def test_load_blends_transparency_over_the_ground() -> None:
    images = imaging.load(Image.new("RGBA", (1, 1), (255, 255, 255, 0)), ground=(0.25, 0.5, 0.75))
    assert images.flatten().tolist() == [0.25, 0.5, 0.75]


def test_from_pil_reads_any_mode() -> None:
    assert imaging.from_pil(Image.new("1", (2, 3), 1)).tolist() == torch.ones(1, 3, 3, 2).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_level_survives_the_round_trip(dtype: torch.dtype, tmp_path: Path) -> None:
    levels = torch.arange(256).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    path = tmp_path / "a.png"
    imaging.save(levels.to(dtype) / 255, path)
    np.testing.assert_array_equal(np.asarray(Image.open(path))[..., 1].flatten(), np.arange(256))
    assert torch.equal(imaging.load(path), levels.float() / 255)


def test_values_are_rounded_to_the_nearest_level_and_clamped() -> None:
    values = torch.tensor([-3.0, -0.001, 0.49 / 255, 0.51 / 255, 254.49 / 255, 254.51 / 255, 1.001, 7.0])
    pixels = np.asarray(imaging.to_pil(values.expand(3, 1, 8)))
    assert pixels[0, :, 0].tolist() == [0, 0, 0, 1, 254, 255, 255, 255]


def test_to_pil_leaves_the_tensor_alone() -> None:
    images = torch.full((3, 2, 2), 2.0, requires_grad=True)
    imaging.to_pil(images)
    assert images.min() == 2


def test_strided_pictures_are_written_as_seen() -> None:
    images = random_images(1, 4, 6, 3).permute(0, 3, 1, 2).flip(-1)
    expected = np.rint(images[0].permute(1, 2, 0).numpy() * 255)
    np.testing.assert_array_equal(np.asarray(imaging.to_pil(images)), expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, 4, 4), "2 pictures were given .* to_grid"),
        (torch.zeros(1, 1, 4, 4), r"shape \[1, 1, 4, 4\]"),
        (torch.zeros(4, 4), r"shape \[4, 4\]"),
        (torch.zeros(0, 3, 4, 4), r"shape \[0, 3, 4, 4\]"),
        (torch.zeros(3, 0, 4), r"shape \[3, 0, 4\]"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "of torch.uint8 was given; expected floating point"),
        (torch.tensor([0, float("nan"), float("inf")]).expand(3, 1, 3), "6 of the picture's 9 values are NaN or inf"),
    ],
)
def test_what_cannot_be_a_picture_is_not_written(images: torch.Tensor, message: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=message):
        imaging.to_pil(images)
    with pytest.raises(ImageError, match=f"a.png: not written: .*{message}"):
        imaging.save(images, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "form"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP")]
)
def test_the_suffix_chooses_the_format(name: str, form: str, tmp_path: Path) -> None:
    smooth = torch.linspace(0, 1, 32).expand(1, 3, 24, 32)
    imaging.save(smooth, tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.format == form
        assert np.abs(np.asarray(image)[..., 0] / 255 - smooth[0, 0].numpy()).max() < 4 / 255
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_jpeg_keeps_full_colour_resolution(tmp_path: Path) -> None:
    stripes = torch.zeros(1, 3, 16, 16)
    stripes[:, 0, :, ::2] = 1  # red and blue by turns: halved chrominance would make them purple
    stripes[:, 2, :, 1::2] = 1
    imaging.save(stripes, tmp_path / "a.jpg")
    assert (imaging.load(tmp_path / "a.jpg") - stripes).abs().mean() < 0.03


def test_quality_trades_size(tmp_path: Path) -> None:
    images = random_images(1, 3, 64, 64)
    for suffix in ("jpg", "webp"):
        imaging.save(images, tmp_path / f"high.{suffix}", quality=95)
        imaging.save(images, tmp_path / f"low.{suffix}", quality=20)
        assert (tmp_path / f"low.{suffix}").stat().st_size < (tmp_path / f"high.{suffix}").stat().st_size / 2
    for quality in (0, 101):
        with pytest.raises(SettingsError, match=f"quality is {quality}; expected 1..100"):
            imaging.save(images, tmp_path / "a.png", quality=quality)


@pytest.mark.parametrize(("name", "shown"), [("a.gif", "'.gif'"), ("a", "a file without a suffix"), ("png", "a file")])
def test_an_unknown_suffix_is_refused(name: str, shown: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=rf"cannot write {shown}.*\.png, \.jpg, \.jpeg, \.webp, .*"):
        imaging.save(torch.zeros(1, 3, 2, 2), tmp_path / name)
    with pytest.raises(ImageError, match=f"cannot write {shown}"):
        check_suffix(name)


@pytest.mark.parametrize(("suffix", "longest"), [("jpg", 65500), ("webp", 16383)])
def test_the_longest_side_a_format_holds(suffix: str, longest: int, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    imaging.save(torch.zeros(1, 3, 1, longest), path)
    assert imaging.load(path).shape == (1, 3, 1, longest)
    path.unlink()
    with pytest.raises(ImageError, match=rf"{longest + 1}×1 is more than the {longest} pixels a side .*\.png"):
        imaging.save(torch.zeros(1, 3, 1, longest + 1), path)
    assert not path.exists()


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("no")])
def test_a_failed_write_leaves_the_folder_as_it_was(
    failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_image: Image.Image, stream: io.BytesIO, **_options: object) -> None:
        stream.write(b"half a pict")
        raise failure

    path = tmp_path / "a.png"
    path.write_bytes(b"what was there")
    monkeypatch.setattr(Image.Image, "save", fail)
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else ImageError
    with pytest.raises(expected):
        imaging.save(torch.zeros(1, 3, 2, 2), path)
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_places_are_named(tmp_path: Path) -> None:
    images = torch.zeros(1, 3, 2, 2)
    with pytest.raises(ImageError, match=rf"the folder {tmp_path}/none does not exist; create it first"):
        imaging.save(images, tmp_path / "none" / "a.png")
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="not written as PNG: Not a directory"):
        imaging.save(images, tmp_path / "file" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match=r"folder\.png: is a folder; expected a file to write"):
        imaging.save(images, tmp_path / "folder.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_files_have_ordinary_permissions(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        imaging.save(torch.zeros(1, 3, 2, 2), tmp_path / "a.png")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o644


def test_saving_through_a_link_replaces_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "real.png").touch()
    (tmp_path / "link.png").symlink_to("real.png")
    imaging.save(torch.zeros(1, 3, 2, 2), tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert imaging.load(tmp_path / "real.png").shape == (1, 3, 2, 2)


def test_a_name_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    imaging.save(torch.zeros(1, 3, 2, 2), tmp_path / ("漢" * 83 + ".png"))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(9, 13), (80, 20), (1, 1), (37, 53)])
def test_resize_filters_as_pillow_does(mode: str, size: tuple[int, int]) -> None:
    images = random_images(2, 3, 37, 53)
    resample = Image.Resampling[mode.upper()]
    expected = [
        [np.asarray(Image.fromarray(channel).resize(size[::-1], resample)) for channel in image]
        for image in images.numpy()
    ]
    np.testing.assert_allclose(imaging.resize(images, size, mode=mode).numpy(), expected, atol=1e-5)


def test_nearest_keeps_only_values_that_were_there() -> None:
    mask = (random_images(1, 1, 30, 30) > 0.5).float()
    assert set(imaging.resize(mask, (17, 41), mode="nearest").unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [(600, 800, 512, (384, 512)), (800, 600, 512, (512, 384)), (3, 20000, 512, (1, 512)), (1, 1, 64, (64, 64))],
)
def test_a_single_size_is_the_long_side(height: int, width: int, size: int, expected: tuple[int, int]) -> None:
    assert imaging.resize(torch.zeros(1, 1, height, width), size).shape[2:] == expected


def test_resize_without_change_returns_the_same_tensor() -> None:
    images = random_images(1, 3, 4, 8)
    assert imaging.resize(images, 8) is images
    assert imaging.resize(images, (4, 8)) is images


@pytest.mark.parametrize("mode", ["bicubic", "bilinear", "nearest"])
def test_resize_is_differentiable(mode: str) -> None:
    images = torch.rand(1, 2, 5, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda images: imaging.resize(images, (3, 9), mode=mode), images)


@pytest.mark.parametrize("size", [0, -5, (0, 4), (4, -1)])
def test_impossible_sizes(size: int | tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match=r"size is .*expected a positive number of pixels"):
        imaging.resize(torch.zeros(1, 3, 4, 4), size)


def test_unknown_resize_mode() -> None:
    with pytest.raises(SettingsError, match="resize mode is 'lanczos'; expected 'bicubic'"):
        imaging.resize(torch.zeros(1, 3, 4, 4), 2, mode="lanczos")  # type: ignore[arg-type]


def test_real_photos_load(shared_data: Path) -> None:
    photos = sorted((shared_data / "images").glob("*.jpg"))
    assert photos
    for photo in photos:
        images = imaging.load(photo, size=64)
        assert max(images.shape[2:]) == 64
        assert 0 <= images.min() < images.max() <= 1


@pytest.mark.parametrize(("height", "width"), [(4, 4), (1, 30), (30, 1)])
def test_the_limit_of_pixels_holds_for_the_scaled_picture(height: int, width: int) -> None:
    picture = Image.new("RGB", (width, height))
    sides = imaging.load(picture, size=30, max_pixels=900).shape[2:]
    assert max(sides) == 30
    with pytest.raises(ImageError, match=r"would have \d+×\d+ pixels at size 100000, more than the limit of 900"):
        imaging.load(picture, size=100_000, max_pixels=900)
