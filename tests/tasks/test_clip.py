"""Restyled clips: paint that moves along, cuts, work that goes on where it stopped, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import ganart_tiny
import pytest
import torch
from torch import Tensor

from ganart_zoo import Zoo
from ganart_zoo.contract import ImageError, SettingsError
from ganart_zoo.contract.rng import generator as seeded
from ganart_zoo.imaging.clips import Frame, clip_record, open_clip, write_clip

pytest.importorskip("cv2", reason="needs the extra video")

import itertools

from ganart_zoo.tasks.clip import ClipStylizer, _Kept, share_scenes
from ganart_zoo.tasks.reproduce import reproduce

COUNT = 8


def texture(height: int, width: int, seed: int) -> Tensor:
    small = torch.rand(1, 3, height // 5 + 2, width // 5 + 2, generator=seeded(seed))
    return torch.nn.functional.interpolate(small, (height, width), mode="bicubic").clamp(0, 1)


@pytest.fixture
def still(tmp_path: Path) -> Path:
    """A scene that stands still but for one object."""
    ground, thing = texture(64, 96, 0), texture(16, 16, 1)
    frames = []
    for number in range(COUNT):
        image = ground.clone()
        image[..., 40:56, 8 + 4 * number : 24 + 4 * number] = thing
        frames.append(Frame(image, Fraction(number, 10)))
    return _folder(frames, tmp_path / "still")


@pytest.fixture
def panned(tmp_path: Path) -> Path:
    """A camera that moves over a scene."""
    world = texture(64, 140, 2)
    frames = [Frame(world[..., 3 * n : 3 * n + 96], Fraction(n, 10)) for n in range(COUNT)]
    return _folder(frames, tmp_path / "panned")


def _folder(frames: list[Frame], folder: Path) -> Path:
    from ganart_zoo.imaging import save

    folder.mkdir()
    for number, frame in enumerate(frames):
        save(frame.image, folder / f"{number:03d}.png")
    return folder


@pytest.fixture
def flicker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose paint changes from frame to frame: noise of its own on each call."""
    calls = iter(range(10_000))

    def stylize(self, content, styles, **_):
        return (1 - content + 0.1 * torch.randn(content.shape, generator=seeded(next(calls)))).clamp(0, 1)

    monkeypatch.setattr("ganart_tiny.model.Negative.stylize", stylize)


def run(source: Path, output: Path, **how):
    return ClipStylizer(Zoo(plugins=[ganart_tiny]), "negative").clip(source, output, **how)


def images(path: Path) -> list[Tensor]:
    return [frame.image for frame in open_clip(path).frames()]


def test_without_smoothing_each_frame_is_what_the_model_makes(panned: Path, tmp_path: Path) -> None:
    made = run(panned, tmp_path / "out", smooth=0)
    assert (made.frames, made.resumed, made.cuts, made.stopped) == (COUNT, 0, (), False)
    for one, other in zip(images(panned), images(tmp_path / "out"), strict=True):
        assert (1 - one - other).abs().max() < 0.005


def test_what_stands_still_does_not_flicker(still: Path, tmp_path: Path, flicker: None) -> None:
    run(still, tmp_path / "alone", smooth=0)
    run(still, tmp_path / "smooth")

    def change(path: Path) -> float:
        shown = [image[..., :30, :] for image in images(path)]  # nothing moves there
        return float(torch.stack([(b - a).abs().mean() for a, b in itertools.pairwise(shown)]).mean())

    assert change(tmp_path / "smooth") <= 0.25 * change(tmp_path / "alone")


def test_paint_moves_with_what_it_shows(panned: Path, tmp_path: Path, flicker: None) -> None:
    run(panned, tmp_path / "alone", smooth=0)
    run(panned, tmp_path / "smooth")

    def error(path: Path) -> float:
        shown = images(path)
        pairs = itertools.pairwise(shown)
        return float(torch.stack([(b[..., 6:-9] - a[..., 9:-6]).abs().mean() for a, b in pairs]).mean())

    assert error(tmp_path / "smooth") <= 0.5 * error(tmp_path / "alone")


def test_a_moving_object_is_painted_where_it_is(still: Path, tmp_path: Path) -> None:
    run(still, tmp_path / "out")
    for one, other in zip(images(still), images(tmp_path / "out"), strict=True):
        assert (1 - one - other).abs().mean() < 0.02


def test_a_cut_begins_anew(tmp_path: Path) -> None:
    scenes = [texture(48, 64, 5)] * 3 + [1 - texture(48, 64, 6)] * 3
    source = _folder([Frame(image, Fraction(n, 10)) for n, image in enumerate(scenes)], tmp_path / "scenes")
    made = run(source, tmp_path / "out")
    assert made.cuts == (3,)
    assert (images(tmp_path / "out")[3] - (1 - scenes[3])).abs().max() < 0.005


@pytest.mark.parametrize("name", ["out.gif", "out"])
def test_stopped_work_is_a_clip_and_goes_on_to_the_same_end(still: Path, tmp_path: Path, name: str) -> None:
    run(still, tmp_path / f"whole{Path(name).suffix}")
    stopped = run(still, tmp_path / name, on_step=lambda event: event.step < 3)
    assert (stopped.stopped, stopped.frames) == (True, 3)
    assert len(images(tmp_path / name)) == 3  # playable
    rest = run(still, tmp_path / name)
    assert (rest.stopped, rest.resumed, rest.frames) == (False, 3, COUNT)
    for one, other in zip(images(tmp_path / f"whole{Path(name).suffix}"), images(tmp_path / name), strict=True):
        assert torch.equal(one, other)
    assert not list(tmp_path.glob(".*frames"))


def test_a_killed_run_goes_on_from_its_whole_frames(still: Path, tmp_path: Path) -> None:
    def die(event):
        if event.step == 4:
            raise MemoryError("killed")

    with pytest.raises(BaseException, match="killed"):
        run(still, tmp_path / "out.gif", on_step=die)
    assert not (tmp_path / "out.gif").exists()
    made = run(still, tmp_path / "out.gif")
    assert (made.resumed, made.frames) == (4, COUNT)


def test_other_settings_begin_anew(still: Path, tmp_path: Path) -> None:
    run(still, tmp_path / "out.gif", on_step=lambda event: event.step < 3)
    assert run(still, tmp_path / "out.gif", smooth=0.5, force=True).resumed == 0


def test_an_output_that_exists_is_not_replaced(still: Path, tmp_path: Path) -> None:
    (tmp_path / "out.gif").write_bytes(b"mine")
    with pytest.raises(SettingsError, match="exists"):
        run(still, tmp_path / "out.gif")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(SettingsError, match="is not empty"):
        run(still, tmp_path / "full")


def test_a_video_keeps_its_time_and_carries_its_record(panned: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    write_clip(open_clip(panned, 12).frames(), tmp_path / "in.mp4", fps=Fraction(12))
    run(tmp_path / "in.mp4", tmp_path / "out.mp4", smooth=0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.metadata["comment"].startswith("ganart:{")
        assert float(container.streams.video[0].average_rate) == pytest.approx(12, rel=0.01)


@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.gif", "out.webp", "out.mkv", "out.mov"])
def test_a_clip_is_made_again_from_its_record(panned: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip("av")
    write_clip(open_clip(panned, 12).frames(), tmp_path / "in.mp4", fps=Fraction(12))
    made = run(tmp_path / "in.mp4", tmp_path / name, smooth=0.5)
    again = reproduce(Zoo(plugins=[ganart_tiny]), tmp_path / name)
    assert again.pixels.agree, str(again.pixels)
    assert again.pixels.size_a == (COUNT * 64, 96)
    assert again.record == made.record
    assert again.record.request["clip"] == {"smooth": 0.5, "fps": None}
    assert [one.role for one in again.record.inputs] == ["content"]


def test_a_clip_that_was_stopped_is_made_again_as_far(still: Path, tmp_path: Path) -> None:
    write_clip(open_clip(still).frames(), tmp_path / "in.gif", fps=Fraction(10))
    run(tmp_path / "in.gif", tmp_path / "out.gif", on_step=lambda event: event.step < 3)
    assert clip_record(tmp_path / "out.gif").request["stopped_at"] == 3
    again = reproduce(Zoo(plugins=[ganart_tiny]), tmp_path / "out.gif")
    assert again.pixels.agree
    assert again.pixels.size_a == (3 * 64, 96)


def test_why_a_frame_or_a_clip_of_a_folder_cannot_be_made_again(still: Path, tmp_path: Path) -> None:
    zoo = Zoo(plugins=[ganart_tiny])
    run(still, tmp_path / "frames")
    with pytest.raises(ImageError, match=r"frame000002.png: is frame 3 of a clip, and each frame follows from the one"):
        reproduce(zoo, tmp_path / "frames" / "frame000002.png")
    run(still, tmp_path / "out.gif")
    with pytest.raises(ImageError, match=r"was made from a folder of frames"):
        reproduce(zoo, tmp_path / "out.gif")
    write_clip(open_clip(still).frames(), tmp_path / "plain.gif", fps=Fraction(10))
    with pytest.raises(ImageError, match=r"carries no ganart record"):
        reproduce(zoo, tmp_path / "plain.gif")


def test_a_stop_at_the_last_step_of_a_frame_does_not_pass_for_the_end(
    still: Path, painting: Path, tmp_path: Path
) -> None:
    stylizer = ClipStylizer(Zoo(plugins=[ganart_tiny]), "blend", [painting], settings={"noise": False})

    def stop(event) -> bool:
        return not (event.phase.startswith("frame 3") and event.step == event.total)

    stopped = stylizer.clip(still, tmp_path / "out.gif", on_step=stop)
    assert (stopped.stopped, stopped.frames) == (True, 2)
    rest = stylizer.clip(still, tmp_path / "out.gif")
    assert (rest.stopped, rest.resumed, rest.frames) == (False, 2, COUNT)


def test_a_source_that_changed_begins_anew(still: Path, panned: Path, tmp_path: Path) -> None:
    for number, source in enumerate((still, panned)):
        write_clip(open_clip(source).frames(), tmp_path / "in.gif", fps=Fraction(10))
        made = run(tmp_path / "in.gif", tmp_path / "out.gif", force=bool(number), on_step=lambda event: event.step < 3)
        assert made.resumed == 0


def test_tiles_that_work_began_with_are_kept_unless_they_take_more_memory(tmp_path: Path) -> None:
    for request, planned, expected in (
        ("a", 256, 256),
        ("a", None, 256),
        ("a", 512, 256),
        ("a", 64, 64),
        ("b", 512, 512),
    ):
        kept = _Kept(tmp_path / "out.gif", request)
        kept.prepare(planned, force=False)
        assert kept.tile() == expected


def test_scenes_are_shared_evenly_and_whole() -> None:
    scenes = [range(3), range(3, 5), range(5, 12), range(12, 16)]
    first, second = share_scenes(scenes, 2)
    assert sorted(first | second) == list(range(16))
    assert not first & second
    assert all(set(scene) <= first or set(scene) <= second for scene in scenes)
    assert max(len(first), len(second)) == 9
    assert share_scenes(scenes[:1], 3) == [frozenset(range(3)), frozenset(), frozenset()]


def test_frames_do_not_go_to_the_folder_they_come_from(still: Path) -> None:
    with pytest.raises(SettingsError, match="the folder they are made from"):
        run(still, still, force=True)
    assert len(list(still.glob("*.png"))) == COUNT


@pytest.mark.parametrize("smooth", [-0.1, 1.5, float("nan")])
def test_smooth_is_a_share(still: Path, tmp_path: Path, smooth: float) -> None:
    with pytest.raises(SettingsError, match="expected 0 to 1"):
        run(still, tmp_path / "out.gif", smooth=smooth)
