"""The verb `stylize`: what it paints, records, tells and refuses."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import ganart_tiny
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from ganart_zoo import GanartError, Zoo
from ganart_zoo.contract import ImageError, PluginFaultError, SettingsError, StepEvent
from ganart_zoo.imaging import load, read_record
from ganart_zoo.tasks.stylize import StyleInput, Stylizer, stylize

PLAIN = {"model": "blend", "settings": {"noise": False}}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_the_picture_is_what_the_model_computes(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path) -> None:
    made = stylize(zoo, photo, [painting], tmp_path / "out.png", **PLAIN)
    colour = pixels(painting).astype(np.float64).mean(axis=(0, 1))
    expected = pixels(photo) + 0.5 * (colour - pixels(photo))
    assert np.abs(pixels(made.path) - expected).max() <= 0.51  # rounding to 8 bits
    assert not made.stopped


def test_styles_are_blended_by_weight(zoo: Zoo, photo: Path) -> None:
    black, white = torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
    styles = [StyleInput(image=black, weight=3), StyleInput(image=white, weight=1)]
    made = stylize(zoo, photo, styles, model="blend", settings={"noise": False, "alpha": 1.0})
    assert torch.allclose(made.images, torch.full_like(made.images, 0.25))


def test_a_region_confines_a_style(zoo: Zoo, photo: Path, tmp_path: Path) -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[:, 40:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    style = StyleInput(image=torch.zeros(1, 3, 16, 16), region=tmp_path / "mask.png")
    made = stylize(zoo, photo, [style], model="blend", settings={"noise": False, "alpha": 1.0})
    assert torch.allclose(made.images[..., :19], load(photo)[..., :19], atol=1e-6)
    assert made.images[..., 21:].abs().max() < 1e-6


def test_init_is_where_the_work_begins(zoo: Zoo, photo: Path, painting: Path) -> None:
    grey = torch.full((1, 3, 50, 50), 0.25)
    made = stylize(zoo, photo, [painting], model="blend", init=grey, settings={"noise": False, "alpha": 0.0})
    assert torch.allclose(made.images, torch.full((1, 3, 30, 40), 0.25))


@pytest.mark.parametrize(
    ("size", "expected"), [(24, (18, 24)), (40, (30, 40)), (512, (30, 40)), (None, (30, 40))], ids=str
)
def test_size_scales_down_and_never_up(
    zoo: Zoo, photo: Path, painting: Path, size: int | None, expected: tuple[int, int]
) -> None:
    assert stylize(zoo, photo, [painting], model="blend", size=size).images.shape[-2:] == expected


def test_the_same_seed_gives_the_same_bits_and_another_does_not(zoo: Zoo, photo: Path, painting: Path) -> None:
    first, second, other = (stylize(zoo, photo, [painting], model="blend", seed=seed).images for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_stylizer_starts_from_its_seed_at_each_content(zoo: Zoo, photo: Path, painting: Path) -> None:
    stylizer = Stylizer(zoo, "blend", [painting])
    stylizer(painting.parent / "photo.png")
    assert torch.equal(stylizer(photo).images, Stylizer(zoo, "blend", [painting])(photo).images)


def test_named_styles(zoo: Zoo, photo: Path) -> None:
    styles = [StyleInput(name="light", weight=1), StyleInput(name="dark", weight=3)]
    assert stylize(zoo, photo, styles, model="named").images.unique().tolist() == [0.25]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_every_format_carries_the_whole_record(
    zoo: Zoo, photo: Path, painting: Path, tmp_path: Path, suffix: str
) -> None:
    stylize(
        zoo,
        photo,
        [StyleInput(image=painting, weight=2)],
        tmp_path / f"out.{suffix}",
        model="blend",
        seed=7,
        size=32,
        settings={"alpha": 0.25, "backbone": {"model": "pool", "block": 4}},
    )
    record = read_record(tmp_path / f"out.{suffix}")
    assert record.task == "stylize"
    assert record.model.model == "ganart-tiny/blend"
    assert record.model.version == "0.1.0"
    assert record.model.config == {
        "layers": None,
        "title": "",
        "grain": {"size": 1, "amount": 0.05},
        "layer_weights": {},
    }
    assert record.model.uses["backbone"].model == "ganart-tiny/pool"
    assert record.model.uses["backbone"].config == {"block": 4}
    assert record.options["alpha"] == 0.25
    assert record.options["steps"] == 4  # a default, for defaults change
    assert record.seed == 7
    assert record.device == "cpu"
    assert record.threads == torch.get_num_threads()
    assert record.versions["torch"] == torch.__version__
    assert record.versions["python"] == platform.python_version()
    assert record.request == {"styles": [{"name": None, "weight": 2}], "size": 32, "stopped_at": None}
    assert set(record.ops.values()) <= {"native", "reference"}
    assert "ganart::style_loss" in record.ops
    assert {(one.role, one.name, one.sha256, one.bytes) for one in record.inputs} == {
        (role, path.name, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
        for role, path in (("content", photo), ("style 1", painting))
    }


def test_a_stop_keeps_the_picture_so_far(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def stop_at_two(event: StepEvent) -> bool | None:
        seen.append(event.step)
        return False if event.step == 2 else None

    made = stylize(zoo, photo, [painting], tmp_path / "out.png", on_step=stop_at_two, **PLAIN)
    assert seen == [1, 2]
    assert made.stopped
    assert read_record(made.path).request["stopped_at"] == 2
    half = stylize(zoo, photo, [painting], model="blend", settings={"noise": False, "alpha": 0.25})
    assert torch.allclose(made.images, half.images, atol=1e-6)  # two of four steps are half the way


def test_false_at_the_last_step_stops_nothing(zoo: Zoo, photo: Path, painting: Path) -> None:
    made = stylize(zoo, photo, [painting], model="blend", on_step=lambda event: event.step < 4)
    assert not made.stopped
    assert made.record.request["stopped_at"] is None


def test_events_tell_what_happens(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.png"
    stylize(zoo, photo, [painting], output, model="blend")
    stylize(zoo, photo, [painting], model="blend", on_step=lambda event: False)
    with pytest.raises(PluginFaultError):
        stylize(zoo, photo, model="broken")
    stages = [event.stage for event in ganart_tiny.EVENTS]
    assert stages == ["started", "saved", "finished", "started", "stopped", "started", "failed"]
    assert {event.task for event in ganart_tiny.EVENTS} == {"stylize"}
    assert ganart_tiny.EVENTS[1].path == output
    assert ganart_tiny.EVENTS[0].model == "ganart-tiny/blend"


def test_a_broken_model_is_a_fault_with_one_line(zoo: Zoo, photo: Path) -> None:
    with pytest.raises(PluginFaultError, match=r"^plugin .* failed at stylize .*: RuntimeError: shapes do not fit$"):
        stylize(zoo, photo, model="broken")
    assert [fault.stage for fault in zoo.faults] == ["stylize"]


def test_what_on_step_raises_comes_back_as_it_is(zoo: Zoo, photo: Path, painting: Path, tmp_path: Path) -> None:
    def fail(event: StepEvent) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stylize(zoo, photo, [painting], tmp_path / "out.png", model="blend", on_step=fail)
    assert not zoo.faults
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("model", "styles", "message"),
    [
        ("pool", [], "is a backbone"),
        ("blend", [], "needs at least one style"),
        ("named", [StyleInput(image=torch.zeros(1, 3, 16, 16))], "takes no picture as a style"),
        ("blend", [StyleInput(name="dark")], "has no named styles"),
        ("named", [StyleInput(name="drak")], "did you mean 'dark'"),
        ("named", [StyleInput(name="dark", region="mask.png")], "cannot confine styles to regions"),
        ("named", [StyleInput(name="dark", weight=-1)], "weight is -1"),
        ("blend", [torch.zeros(1, 3, 8, 40)], "at least 16 a side"),
        ("blend", [torch.zeros(3, 40, 40)], r"expected floating point \[1, 3, H, W\]"),
    ],
)
def test_unfit_styles_are_refused(zoo: Zoo, photo: Path, model: str, styles: list[object], message: str) -> None:
    with pytest.raises(GanartError, match=message):
        stylize(zoo, photo, styles, model=model)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (15, 40), (20_000, 3)])
def test_a_content_without_room_is_refused(zoo: Zoo, painting: Path, width: int, height: int) -> None:
    with pytest.raises(ImageError, match="at least 16 a side"):
        stylize(zoo, torch.zeros(1, 3, height, width), [painting], model="blend")


def test_a_content_is_not_its_own_only_style(zoo: Zoo, photo: Path, painting: Path) -> None:
    with pytest.raises(ImageError, match="is the style too"):
        stylize(zoo, photo, [photo], model="blend")
    stylize(zoo, photo, [photo, painting], model="blend")


def test_bounds_of_the_task_itself(zoo: Zoo, photo: Path, painting: Path) -> None:
    with pytest.raises(SettingsError, match="size is 8"):
        stylize(zoo, photo, [painting], model="blend", size=8)
    with pytest.raises(SettingsError, match="seed is -1"):
        stylize(zoo, photo, [painting], model="blend", seed=-1)
    with pytest.raises(SettingsError, match="no setting 'stepz'; did you mean 'steps'"):
        stylize(zoo, photo, [painting], model="blend", settings={"stepz": 1})


def test_is_done_follows_inputs_and_settings_and_not_names(
    zoo: Zoo, photo: Path, painting: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.png"
    stylizer = Stylizer(zoo, "blend", [painting])
    assert not stylizer.is_done(photo, output)
    stylizer(photo, output)
    assert stylizer.is_done(photo, output)
    renamed = photo.rename(tmp_path / "other.png")
    assert stylizer.is_done(renamed, output)
    assert not stylizer.is_done(painting, output)
    for other in (
        Stylizer(zoo, "blend", [painting], seed=1),
        Stylizer(zoo, "blend", [painting], size=24),
        Stylizer(zoo, "blend", [StyleInput(image=painting, weight=2.0)]),
        Stylizer(zoo, "blend", [painting], settings={"alpha": 0.75}),
        Stylizer(zoo, "blend", [painting], settings={"title": "x"}),
        Stylizer(zoo, "blend", [painting], settings={"backbone": {"model": "pool", "block": 3}}),
    ):
        assert not other.is_done(renamed, output)
    stylizer(renamed, output, on_step=lambda event: False)
    assert not stylizer.is_done(renamed, output)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_the_capture_date_is_kept_and_the_position_is_not(
    zoo: Zoo, painting: Path, tmp_path: Path, suffix: str
) -> None:
    exif = Image.Exif()
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: "2026:11:28 12:36:00"}
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: (47.0, 3.0, 1.0)}
    Image.new("RGB", (40, 30), "teal").save(tmp_path / "taken.jpg", exif=exif)
    output = tmp_path / f"out{suffix}"
    stylize(zoo, tmp_path / "taken.jpg", [painting], output, model="blend")
    with Image.open(output) as made:
        found = made.getexif()
        assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2026:11:28 12:36:00"
        assert not found.get_ifd(ExifTags.IFD.GPSInfo)
    assert read_record(output).task == "stylize"
