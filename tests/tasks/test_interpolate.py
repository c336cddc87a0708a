"""The verb `interpolate`: exact ends, ways in both spaces, loops, and the files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ganart_shapes.runs import save_run
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError, SettingsError, generator
from ganart_zoo.imaging import read_record
from ganart_zoo.tasks.generating import LoadedGenerator, load_generator
from ganart_zoo.tasks.interpolate import frames, interpolate
from ganart_zoo.tasks.reproduce import reproduce
from ganart_zoo.tasks.sample import sample


@pytest.fixture
def bands(shapes: Zoo) -> LoadedGenerator:
    return load_generator(shapes, "bands", weights=None, settings={"truncation": 0.8})


@pytest.mark.parametrize("space", ["z", "w"])
@pytest.mark.parametrize("route", ["linear", "spherical"])
@pytest.mark.parametrize("loop", [False, True])
def test_each_seed_s_frame_is_its_picture(bands: LoadedGenerator, space, route, loop: bool) -> None:
    seeds = [5, 0, 9]
    total, made = frames(bands, seeds, steps=4, space=space, route=route, loop=loop)
    images = torch.cat(list(made))
    assert len(images) == total == (12 if loop else 9)
    for number, seed in enumerate(seeds):
        assert torch.equal(images[4 * number], sample(bands, 1, seed=seed).images[0])


def test_between_two_seeds_the_way_is_a_line_in_w(bands: LoadedGenerator) -> None:
    images = torch.cat(list(frames(bands, [1, 2], steps=4)[1]))  # the pictures are linear in w
    for step in range(5):
        torch.testing.assert_close(images[step], images[0].lerp(images[4], step / 4))


def test_a_plain_generator_goes_along_the_arc_with_one_noise_and_one_class(shapes: Zoo) -> None:
    flat = load_generator(shapes, "flat", weights=None, settings={"class_names": ["cat", "dog", "eel"]})
    images = torch.cat(list(frames(flat, [1, 2], steps=4, label="eel")[1]))[:, :, 0, 0]
    ends = [torch.randn(16, generator=generator(seed))[0] for seed in (1, 2)]
    assert (images[0, 0], images[4, 0]) == (ends[0], ends[1])
    assert images[:, 1].tolist() == pytest.approx([0.2] * 5)
    assert torch.equal(images[0], sample(flat, 1, seed=1, classes=["eel"]).images[0, :, 0, 0])
    assert len(images[:, 2].unique()) == 1


def test_a_gif_has_the_frames_and_loops_where_asked(bands: LoadedGenerator, tmp_path: Path) -> None:
    for loop in (False, True):
        file = tmp_path / f"{loop}.gif"
        made = interpolate(bands, [0, 1], file, steps=5, loop=loop, fps=10)
        with Image.open(file) as image:
            assert (image.n_frames, image.info["duration"], image.info.get("loop")) == (
                made.frames,
                100,
                0 if loop else None,
            )
            assert made.frames == (10 if loop else 6)
    with pytest.raises(SettingsError, match="exists; choose another output, or use --force"):
        interpolate(bands, [0, 1], file)


def test_an_mp4_has_the_frames(bands: LoadedGenerator, shapes: Zoo, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    made = interpolate(bands, [0, 1], tmp_path / "way.mp4", steps=6, fps=12)
    with av.open(str(tmp_path / "way.mp4")) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 12
    assert len(pictures) == made.frames == 7
    expected = sample(bands, 1, seed=0).images.clamp(0, 1).mul(255)[0].permute(1, 2, 0).numpy()
    assert abs(pictures[0].astype(float) - expected).mean() < 8  # colour is halved in resolution
    odd = load_generator(shapes, "flat", weights=None, settings={"resolution": 7})
    interpolate(odd, [0, 1], tmp_path / "odd.mp4", steps=2)
    with av.open(str(tmp_path / "odd.mp4")) as container:  # the format wants even sides
        assert [(frame.width, frame.height) for frame in container.decode(video=0)] == [(8, 8)] * 3


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".webm", ".mkv"])
def test_every_animation_has_the_frames(bands: LoadedGenerator, tmp_path: Path, suffix: str) -> None:
    from ganart_zoo.imaging.clips import open_clip

    if suffix in (".webm", ".mkv"):
        pytest.importorskip("av")
    interpolate(bands, [0, 1], tmp_path / f"way{suffix}", steps=6, fps=10)
    found = [float(frame.time) for frame in open_clip(tmp_path / f"way{suffix}").frames()]
    expected = [number / 10 for number in range(7)]
    if suffix == ".webp":  # equal frames that follow each other are stored as one
        expected = [min(expected, key=lambda time, one=one: abs(time - one)) for one in found]
        assert len(set(expected)) == len(found) >= 5
    assert found == pytest.approx(expected, abs=0.011)


def test_a_folder_gets_frames_with_records(bands: LoadedGenerator, tmp_path: Path) -> None:
    made = interpolate(bands, [3, 4], tmp_path / "way", steps=2)
    assert sorted(path.name for path in made.path.iterdir()) == ["frame0000.png", "frame0001.png", "frame0002.png"]
    record = read_record(made.path / "frame0001.png")
    assert (record.task, record.request["seeds"], record.request["frame"]) == ("interpolate", [3, 4], 1)


@pytest.mark.parametrize("name", ["way.gif", "way"])
def test_stopping_keeps_the_frames_until_then(bands: LoadedGenerator, tmp_path: Path, name: str) -> None:
    made = interpolate(bands, [0, 1], tmp_path / name, steps=8, on_step=lambda event: event.step < 3)
    assert (made.frames, made.stopped) == (3, True)
    if name == "way.gif":
        with Image.open(tmp_path / name) as image:
            assert image.n_frames == 3
    else:
        assert len(list(made.path.iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": [1]}, "1 seeds were given, expected at least 2"),
        ({"seeds": [1, -1]}, "seed is -1"),
        ({"steps": 0}, "steps is 0"),
        ({"space": "x"}, "space is 'x', expected one of z, w"),
        ({"route": "x"}, "route is 'x'"),
        ({"label": 0}, "has no classes"),
        ({"fps": 0}, "fps is 0"),
        ({"output": "way.avi"}, "cannot write '.avi'"),
    ],
)
def test_what_is_not_fit_is_said(bands: LoadedGenerator, tmp_path: Path, arguments: dict, message: str) -> None:
    given = {"seeds": [0, 1], "output": "way.gif", **arguments}
    with pytest.raises((SettingsError, ImageError), match=message):
        interpolate(bands, given.pop("seeds"), tmp_path / given.pop("output"), **given)


def test_w_needs_styles(shapes: Zoo) -> None:
    with pytest.raises(SettingsError, match="flat has no styles, and interpolating in w needs a style generator"):
        frames(load_generator(shapes, "flat", weights=None), [0, 1], space="w")


def test_a_frame_is_made_again_from_its_record(shapes: Zoo, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", generator=shapes.create("bands", weights=None))
    made = interpolate(load_generator(shapes, run), [3, 4, 7], tmp_path / "way", steps=4, route="spherical", loop=True)
    for number in (0, 3, 11):
        assert reproduce(shapes, made.path / f"frame{number:04}.png").pixels.agree


def test_all_frames_show_what_the_text_says(shapes: Zoo) -> None:
    """Nine letters make every colour nine hundredths brighter than none would."""
    lettered = load_generator(shapes, "lettered", weights=None)
    with pytest.raises(SettingsError, match="give a prompt"):
        frames(lettered, [0, 1])
    for space in ("z", "w"):
        one, nine = (
            torch.cat(list(frames(lettered, [0, 1], steps=3, space=space, prompt=text)[1]))  # type: ignore[arg-type]
            for text in ("a", "green hat")
        )
        torch.testing.assert_close(nine - one, torch.full_like(one, 0.08))
