"""Clips: what is read back is what was written, in every form; sound, time, rotation and damage."""

from __future__ import annotations

import logging
import struct
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.clips import Clip, Frame, check_clip_output, is_clip, open_clip, write_clip

av = pytest.importorskip("av", reason="needs the extra video")


def ramp(number: int, height: int = 48, width: int = 64) -> torch.Tensor:
    """Return a smooth picture that is different for each number, and survives lossy formats."""
    x = torch.linspace(0, 1, width).expand(1, height, width)
    y = torch.linspace(0, 1, height)[:, None].expand(1, height, width)
    return torch.stack([x, y, torch.full_like(x, (number % 8) / 8)], 1)


def frames(count: int, step: Fraction = Fraction(1, 10), **size: int) -> list[Frame]:
    return [Frame(ramp(number, **size), number * step) for number in range(count)]


def pan(path: Path, count: int = 6, sound: bool = False, pix_fmt: str = "yuv420p", **options: str) -> Path:
    """Write a video with PyAV alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10", **options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        audio = container.add_stream("aac", rate=8000) if sound else None
        for number in range(count):
            pixels = (ramp(number)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
        if audio is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
            samples.sample_rate = 8000
            samples.pts = 0
            container.mux(audio.encode(samples))
            container.mux(audio.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "limit"), [("a.mp4", 0.04), ("a.mkv", 0.04), ("a.webm", 0.05), ("a.gif", 0.12), ("a.webp", 0.05)]
)
def test_what_is_written_is_read_back(tmp_path: Path, name: str, limit: float) -> None:
    made = frames(5)
    assert write_clip(iter(made), tmp_path / name, fps=Fraction(10)) == 5
    clip = open_clip(tmp_path / name)
    found = list(clip.frames())
    assert len(found) == 5
    assert float(clip.fps) == pytest.approx(10, rel=0.02)
    for one, other in zip(made, found, strict=True):
        assert (one.image - other.image).abs().mean() < limit
        assert float(other.time) == pytest.approx(float(one.time), abs=0.012)
    assert is_clip(tmp_path / name)


def test_frames_that_are_shown_for_different_times_stay_so(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 10), Fraction(5, 10), Fraction(6, 10)]
    made = [Frame(ramp(number), shown) for number, shown in enumerate(times)]
    for name in ("a.mp4", "a.gif", "a.webm"):
        write_clip(iter(made), tmp_path / name, fps=Fraction(10))
        found = [float(frame.time) for frame in open_clip(tmp_path / name).frames()]
        assert found == pytest.approx([float(shown) for shown in times], abs=0.02), name


def test_sides_that_are_odd_gain_one_pixel_in_videos_alone(tmp_path: Path) -> None:
    made = frames(2, height=47, width=63)
    write_clip(iter(made), tmp_path / "a.mp4", fps=Fraction(10))
    write_clip(iter(made), tmp_path / "a.gif", fps=Fraction(10))
    assert next(open_clip(tmp_path / "a.mp4").frames()).image.shape == (1, 3, 48, 64)
    assert next(open_clip(tmp_path / "a.gif").frames()).image.shape == (1, 3, 47, 63)


def test_sound_is_copied_as_it_is(tmp_path: Path) -> None:
    source = pan(tmp_path / "in.mp4", sound=True)
    write_clip(open_clip(source).frames(), tmp_path / "out.mp4", fps=Fraction(10), source=source)
    with av.open(str(source)) as one, av.open(str(tmp_path / "out.mp4")) as other:
        packets = [[bytes(packet) for packet in each.demux(each.streams.audio[0])] for each in (one, other)]
    assert packets[1][:3] == packets[0][:3]
    assert abs(len(packets[0]) - len(packets[1])) <= 6  # what is longer than the pictures is cut off


def test_sound_that_a_format_cannot_hold_is_left_out_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = pan(tmp_path / "in.mp4", sound=True)
    with caplog.at_level(logging.WARNING, "ganart_zoo"):
        write_clip(open_clip(source).frames(), tmp_path / "out.webm", fps=Fraction(10), source=source)
    assert "the sound is aac" in caplog.text
    assert len(list(open_clip(tmp_path / "out.webm").frames())) == 6


def test_ten_bits_are_read(tmp_path: Path) -> None:
    found = list(open_clip(pan(tmp_path / "deep.mp4", pix_fmt="yuv420p10le")).frames())
    assert (found[3].image - ramp(3)).abs().mean() < 0.03


@pytest.mark.parametrize(("turns", "matrix"), [(1, (0, 1, -1, 0)), (2, (-1, 0, 0, -1)), (3, (0, -1, 1, 0))])
def test_films_that_lie_on_their_side_are_read_upright(
    tmp_path: Path, turns: int, matrix: tuple[int, int, int, int]
) -> None:
    """The matrix is that of the track header in ISO 14496-12, as phones write it."""
    path = pan(tmp_path / "in.mp4")
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    found = list(open_clip(path).frames())
    assert (found[3].image - torch.rot90(ramp(3), k=-turns, dims=(2, 3))).abs().mean() < 0.03


def test_a_damaged_frame_is_left_out_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = pan(tmp_path / "in.mp4", count=10, g="1", bf="0")
    with av.open(str(source)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][5]
    data = bytearray(source.read_bytes())
    data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    source.write_bytes(data)
    with caplog.at_level(logging.WARNING, "ganart_zoo"):
        found = list(open_clip(source).frames())
    assert [float(frame.time) for frame in found] == pytest.approx([n / 10 for n in range(10) if n != 5])
    assert all((frame.image - ramp(round(float(frame.time) * 10))).abs().mean() < 0.03 for frame in found)
    assert "1 frame is damaged and left out" in caplog.text
    write_clip(iter(found), tmp_path / "out.mp4", fps=Fraction(10))
    again = list(open_clip(tmp_path / "out.mp4").frames())  # the frame before it is shown for as long
    assert [frame.time for frame in again] == [frame.time for frame in found]


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit for the size of files")
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.gif", "a.webp"])
def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    """A limit for the size of files fails as a full disk does, at each write and at the last."""
    import resource

    noise = torch.Generator().manual_seed(0)
    made = [Frame(torch.rand(1, 3, 48, 64, generator=noise), Fraction(n, 10)) for n in range(6)]
    write_clip(iter(made), tmp_path / name, fps=Fraction(10))
    size = (tmp_path / name).stat().st_size
    (tmp_path / name).unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (size // 3, size - 200):  # Matroska's random identifiers make a file some bytes longer or shorter
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            with pytest.raises(ImageError, match=f"{name}: not written: File too large"):
                write_clip(iter(made), tmp_path / name, fps=Fraction(10))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert list(tmp_path.iterdir()) == []


def test_a_folder_of_frames_is_a_clip_and_a_bad_file_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(4):
        Image.new("RGB", (20, 20), (number * 40, 0, 0)).save(tmp_path / f"f{number}.png")
    (tmp_path / "f2.png").write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING, "ganart_zoo"):
        clip = open_clip(tmp_path, fps=8)
        found = list(clip.frames())
    assert [float(frame.time) for frame in found] == [0, 1 / 8, 3 / 8]
    assert "frame 3 is left out" in caplog.text


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    Image.new("RGB", (22, 20)).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match="22×20 pixels, and those before it 20×20"):
        list(open_clip(tmp_path).frames())


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("no.mp4", None, "there is no such file"),
        ("bad.mp4", b"nothing at all", "not a video that can be read"),
        ("bad.gif", b"GIF89a", "not a clip that can be read"),
    ],
)
def test_what_is_no_clip_is_refused_in_words(tmp_path: Path, name: str, content: bytes | None, expected: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=expected):
        open_clip(tmp_path / name)


def test_an_empty_folder_is_no_clip(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no pictures in this folder"):
        open_clip(tmp_path)


def test_outputs_are_checked_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot write a clip as '\.avi'"):
        check_clip_output(tmp_path / "a.avi")
    with pytest.raises(ImageError, match="create it first"):
        check_clip_output(tmp_path / "no" / "a.gif")


def test_nothing_is_left_of_a_clip_that_fails(tmp_path: Path) -> None:
    def broken():
        yield Frame(ramp(0), Fraction(0))
        raise RuntimeError("stop")

    for name in ("a.mp4", "a.gif"):
        with pytest.raises(RuntimeError):
            write_clip(broken(), tmp_path / name, fps=Fraction(10))
    assert list(tmp_path.iterdir()) == []


def test_a_single_picture_is_no_clip(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif")
    assert not is_clip(tmp_path / "a.gif")
    assert isinstance(open_clip(tmp_path / "a.gif"), Clip)
