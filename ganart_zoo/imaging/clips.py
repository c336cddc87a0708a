"""Clips: frames read one by one from a folder, a GIF, a WebP or a video, and written to one. Videos need PyAV."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.files import ANIMATED_PICTURES, VIDEOS, check_ordinary, whole_file
from ganart_zoo.imaging.images import from_pil, load, to_pil
from ganart_zoo.imaging.record import (
    EXIF_IFD,
    EXIF_USER_COMMENT,
    PixelDifference,
    Record,
    compare_pixels,
    read_record,
    to_user_comment,
)

__all__ = [
    "VIDEOS",
    "WRITTEN",
    "Clip",
    "Frame",
    "check_clip_output",
    "check_video",
    "clip_record",
    "compare_clips",
    "is_clip",
    "open_clip",
    "write_clip",
]

_log = logging.getLogger("ganart_zoo")

WRITTEN = (".gif", ".mp4", ".mov", ".mkv", ".webm", ".webp")
"""Suffixes that are written."""
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_FPS = 25
_RECORD = "ganart:"
"""What the comment of a clip begins with, before its record."""
_CODECS = {".webm": ("libvpx-vp9", {"crf": "24", "b": "0"})}
_H264 = ("libx264", {"crf": "18"})
_AUDIO = {".mp4": {"aac", "mp3", "ac3", "alac"}, ".mov": {"aac", "mp3", "ac3", "alac"}, ".webm": {"opus", "vorbis"}}


@dataclass(frozen=True)
class Frame:
    """One frame."""

    image: Tensor
    """`[1, 3, H, W]` in 0..1."""
    time: Fraction
    """Seconds from the start of the clip."""


@dataclass(frozen=True)
class Clip:
    """A clip that can be read from its start as often as needed."""

    path: Path
    fps: Fraction
    """Frames per second, on average."""
    count: int | None
    """Frames; None where only reading tells."""

    def frames(self) -> Iterator[Frame]:
        """Yield the frames, upright and in the order in which they are shown.

        A frame that cannot be decoded is left out, with a warning; the one before it is then shown for longer.

        Raises:
            ImageError: There is none, or the size changes.
        """
        read = _folder_frames if self.path.is_dir() else _picture_frames
        if self.path.suffix.lower() in VIDEOS:
            read = _video_frames
        shape = None
        for frame in read(self.path, self.fps):
            if shape is not None and frame.image.shape != shape:
                height, width = frame.image.shape[-2:]
                raise ImageError(
                    f"{self.path}: a frame has {width}×{height} pixels, and those before it {shape[3]}×{shape[2]}; "
                    "all frames of a clip have one size"
                )
            shape = frame.image.shape
            yield frame
        if shape is None:
            raise ImageError(f"{self.path}: no frame can be read; expected a clip")


def is_clip(path: Path) -> bool:
    """Return whether a file is a video, or a picture with more than one frame. Folders are not asked about."""
    if path.suffix.lower() in VIDEOS:
        return True
    if path.suffix.lower() not in ANIMATED_PICTURES or not path.is_file():
        return False
    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1) > 1
    except OSError:
        return False


def open_clip(path: Path, fps: float | None = None) -> Clip:
    """Return a clip.

    Args:
        path: A video, a GIF or WebP, or a folder of pictures, which are shown in the order of their names.
        fps: For a folder, the frames per second; None: 25. Other clips know theirs.

    Raises:
        ImageError: It does not exist or cannot be read, or PyAV is missing.
    """
    if path.is_dir():
        files = _pictures_of(path)
        if not files:
            raise ImageError(f"{path}: there are no pictures in this folder, and a clip needs frames")
        return Clip(path, Fraction(fps or _FPS).limit_denominator(1000), len(files))
    if not path.is_file():
        raise ImageError(f"{path}: there is no such file; check the path")
    if path.suffix.lower() in VIDEOS:
        with _opened(path) as container:
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate or Fraction(_FPS)
            return Clip(path, Fraction(rate), stream.frames or None)
    try:
        with Image.open(path) as image:
            count = getattr(image, "n_frames", 1)
            total = 0
            for number in range(count):
                image.seek(number)
                total += image.info.get("duration", 0) or 100
    except (OSError, EOFError) as error:
        raise ImageError(f"{path}: not a clip that can be read ({error})") from None
    return Clip(path, Fraction(1000 * count, total), count)


def check_clip_output(path: Path) -> None:
    """Raise ImageError where `write_clip` cannot write a clip. Call it before long work."""
    suffix = path.suffix.lower()
    if suffix and suffix not in WRITTEN:
        raise ImageError(f"{path}: cannot write a clip as {suffix!r}; end the name with one of {', '.join(WRITTEN)}")
    check_video(path)
    if suffix:
        check_ordinary(path)
    if not path.absolute().parent.is_dir():
        raise ImageError(f"{path}: there is no folder {path.absolute().parent}; create it first")


def check_video(path: Path) -> None:
    """Raise ImageError where `path` is a video and PyAV is missing."""
    if path.suffix.lower() in VIDEOS:
        _av(path)


def write_clip(
    frames: Iterable[Frame],
    path: Path,
    *,
    fps: Fraction,
    source: Path | None = None,
    record: Callable[[], Record] | None = None,
    loop: bool = True,
) -> int:
    """Write a clip; it appears complete or not at all.

    Args:
        frames: At least one. Videos of odd size get one more row or column, a copy of the last, as their format asks.
        path: `.mp4`, `.mov`, `.mkv`, `.webm`, `.gif` or `.webp`; replaced where it exists.
        fps: Frames per second; the frames' own times say when each is shown.
        source: A video whose sound is copied as it is, as long as the frames last.
        record: Returns how the clip was made, which `clip_record` reads; called before the last frame is written.
        loop: Whether a GIF or WebP repeats.

    Returns:
        The number of frames.

    Raises:
        ImageError: It cannot be written.
    """
    check_clip_output(path)
    try:
        with whole_file(path) as part:
            if path.suffix.lower() in ANIMATED_PICTURES:
                return _write_animated(frames, part, path, fps, loop, record)
            return _write_video(frames, part, path, fps, source, record)
    except OSError as error:  # PyAV's errors too
        raise ImageError(f"{path}: not written: {error.strerror or error}") from None


def clip_record(path: Path) -> Record:
    """Return the record of how a clip was made.

    Raises:
        ImageError: The file cannot be read, has no record, or has one that this version cannot read.
    """
    suffix = path.suffix.lower()
    if suffix == ".webp":
        return read_record(path)
    if suffix in VIDEOS:
        with _opened(path) as container:
            tags = {name.lower(): value for name, value in container.metadata.items()}
        text = tags.get("comment", "")
    else:
        with Image.open(path) as image:
            text = image.info.get("comment", b"").decode("ascii", errors="replace")
    if not text.startswith(_RECORD):
        raise ImageError(f"{path}: carries no ganart record; it was not made by ganart, or a later program dropped it")
    try:
        return Record.from_text(text.removeprefix(_RECORD))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def compare_clips(a: Path, b: Path) -> PixelDifference:
    """Compare the decoded pixels of two clips; the sizes are those of all frames one below the other.

    Raises:
        ImageError: One of them cannot be read.
    """
    pairs = itertools.zip_longest(open_clip(a).frames(), open_clip(b).frames())
    heights, widths = [0, 0], [0, 0]
    differing, largest, total = 0, 0.0, 0.0
    for pair in pairs:
        for number, frame in enumerate(pair):
            if frame is not None:
                heights[number] += frame.image.shape[2]
                widths[number] = frame.image.shape[3]
        first, second = pair
        if first is not None and second is not None and first.image.shape == second.image.shape:
            one = compare_pixels(to_pil(first.image), to_pil(second.image))
            differing, largest = differing + one.differing, max(largest, one.largest)
            total += one.mean * one.size_a[0] * one.size_a[1]
    sizes = (heights[0], widths[0]), (heights[1], widths[1])
    if sizes[0] != sizes[1]:
        return PixelDifference(*sizes, heights[0] * widths[0], 255.0, 255.0)
    return PixelDifference(*sizes, differing, largest, total / max(1, heights[0] * widths[0]))


# -- reading


def _pictures_of(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _PICTURES and file.name[0] != ".")


def _folder_frames(path: Path, fps: Fraction) -> Iterator[Frame]:
    for number, file in enumerate(_pictures_of(path)):
        try:
            image = load(file)
        except ImageError as error:
            _log.warning("frame %d is left out: %s", number + 1, error)
            continue
        yield Frame(image, number / fps)


def _picture_frames(path: Path, fps: Fraction) -> Iterator[Frame]:
    time = Fraction(0)
    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            try:
                image.seek(number)
                frame = from_pil(image.convert("RGBA" if image.has_transparency_data else "RGB"))
            except (OSError, EOFError, SyntaxError, ValueError) as error:
                _log.warning("%s: frame %d and those after it are left out: %s", path, number + 1, error)
                return
            yield Frame(frame, time)
            time += Fraction(image.info.get("duration", 0) or 100, 1000)


def _video_frames(path: Path, fps: Fraction) -> Iterator[Frame]:
    av = _av(path)
    broken = 0
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        first = None
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
                decoded = packet.decode()
            except StopIteration:
                break
            except av.error.FFmpegError:
                broken += 1
                if broken > 10_000:  # nothing but noise
                    break
                continue
            for frame in decoded:
                if frame.is_corrupt:
                    broken += 1
                    continue
                time = Fraction(0) if frame.pts is None else frame.pts * Fraction(frame.time_base)
                first = time if first is None else first
                pixels = np.rot90(frame.to_ndarray(format="rgb24"), k=-_quarter_turns(frame)).copy()
                yield Frame(torch.from_numpy(pixels).permute(2, 0, 1)[None].float().div(255), time - first)
    if broken:
        what = "1 frame is" if broken == 1 else f"{broken} frames are"
        _log.warning("%s: %s damaged and left out; what is before is shown for longer", path, what)


def _quarter_turns(frame: Any) -> int:
    """Return by how many quarters a frame must be turned clockwise to be upright; phones store films on their side."""
    return round(-float(getattr(frame, "rotation", 0) or 0) / 90) % 4


def _av(path: Path) -> Any:
    try:
        import av
    except ImportError:
        raise ImageError(f"{path}: videos need PyAV; pip install 'ganart-zoo[video]'") from None
    return av


def _opened(path: Path) -> Any:
    av = _av(path)
    try:
        container = av.open(str(path))
    except (OSError, av.error.FFmpegError) as error:
        raise ImageError(f"{path}: not a video that can be read ({error.strerror or error})") from None
    if not container.streams.video:
        container.close()
        raise ImageError(f"{path}: has no pictures in it; expected a video")
    return container


# -- writing


def _write_animated(
    frames: Iterable[Frame], part: Path, path: Path, fps: Fraction, loop: bool, record: Callable[[], Record] | None
) -> int:
    about: dict[str, Any] = {"loop": 0} if loop else {}
    if path.suffix.lower() == ".gif":
        shown = _Timed(frames, fps)
        images = iter(shown)
        first = next(images, None)
        if first is not None:  # frames are written as they come; each brings its duration
            if record is not None:
                about["comment"] = _comment(record).encode("ascii")
            first.save(part, "GIF", save_all=True, append_images=images, **about)
    else:
        shown = _Timed(frames, fps)
        kept = list(shown)  # the format's writer wants all durations at once
        if kept:
            durations = [image.info["duration"] for image in kept]
            about["loop"] = 0 if loop else 1
            if record is not None:
                exif = Image.Exif()
                exif[EXIF_IFD] = {EXIF_USER_COMMENT: to_user_comment(record())}
                about["exif"] = exif
            kept[0].save(part, "WEBP", save_all=True, append_images=kept[1:], duration=durations, quality=90, **about)
    if not shown.count:
        raise ImageError(f"{path}: there are no frames to write")
    return shown.count


def _comment(record: Callable[[], Record]) -> str:
    return f"{_RECORD}{record().to_text()}"


class _Timed:
    """Iterates over frames as Pillow images that know how long they are shown, and counts them."""

    def __init__(self, frames: Iterable[Frame], fps: Fraction) -> None:
        self._frames, self._fps = frames, fps
        self.count = 0

    def __iter__(self) -> Iterator[Image.Image]:
        held: Frame | None = None
        for frame in self._frames:
            if held is not None:
                yield self._image(held, frame.time)
            held = frame
        if held is not None:
            yield self._image(held, held.time + 1 / self._fps)

    def _image(self, frame: Frame, until: Fraction) -> Image.Image:
        self.count += 1
        image = to_pil(frame.image)
        # players slow down durations below 20; a GIF counts hundredths, so what it rounds off is never added up
        start, end = (round(float(time) * 100) * 10 for time in (frame.time, until))
        image.info["duration"] = max(20, end - start)
        return image


def _write_video(
    frames: Iterable[Frame],
    part: Path,
    path: Path,
    fps: Fraction,
    source: Path | None,
    record: Callable[[], Record] | None,
) -> int:
    av = _av(path)
    suffix = path.suffix.lower()
    form = {".mkv": "matroska"}.get(suffix, suffix[1:])
    codec, options = _CODECS.get(suffix, _H264)
    count, last = 0, Fraction(0)
    base = Fraction(1, 90_000)
    with _Checked(part) as file, av.open(file, "w", format=form) as container:
        if record is not None:
            container.metadata["comment"] = _comment(record)
        stream = None
        sound: tuple[Any, Any] | None = None
        for frame in frames:
            pixels = np.asarray(to_pil(frame.image))
            height, width = pixels.shape[:2]
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if stream is None:
                stream = container.add_stream(codec, rate=fps.limit_denominator(1001), options=options)
                stream.width, stream.height, stream.pix_fmt = pixels.shape[1], pixels.shape[0], "yuv420p"
                stream.codec_context.time_base = base
                sound = _sound(container, source, suffix)
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            picture.pts, picture.time_base = round(frame.time / base), base
            container.mux(stream.encode(picture))
            count, last = count + 1, frame.time + 1 / fps
        if stream is None:
            raise ImageError(f"{path}: there are no frames to write")
        container.mux(stream.encode(None))
        if sound is not None:
            _copy_sound(container, *sound, last)
    return count


class _Checked:
    """A file that PyAV writes to. An error of its last write, which PyAV does not report, is raised at the end."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b")
        self._error: OSError | None = None
        self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell

    def write(self, data: bytes) -> int:
        try:
            count = self._file.write(data)
            self._file.flush()
        except OSError as error:
            self._error = self._error or error
            raise
        return count

    def __enter__(self) -> _Checked:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.suppress(OSError):  # what could not be written is known already
            self._file.close()
        if self._error is not None and kind is None:
            raise self._error


def _sound(container: Any, source: Path | None, suffix: str) -> tuple[Any, Any] | None:
    """Return the opened source and the new stream for its sound, or None where there is none that fits."""
    if source is None or source.suffix.lower() not in VIDEOS:
        return None
    opened = _opened(source)
    if not opened.streams.audio:
        opened.close()
        return None
    audio = opened.streams.audio[0]
    if audio.codec_context.name not in _AUDIO.get(suffix, {audio.codec_context.name}):
        _log.warning("the sound is %s, which %s cannot hold, and is left out", audio.codec_context.name, suffix)
        opened.close()
        return None
    return opened, container.add_stream_from_template(audio)


def _copy_sound(container: Any, source: Any, stream: Any, until: Fraction) -> None:
    with source:
        audio = source.streams.audio[0]
        for packet in source.demux(audio):
            if packet.dts is None:  # the end
                continue
            if packet.pts is not None and packet.pts * Fraction(packet.time_base) >= until:
                break
            packet.stream = stream
            container.mux(packet)
