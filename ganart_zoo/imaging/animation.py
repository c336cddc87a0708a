"""Writes sequences of pictures as animations: GIF with Pillow, and MP4 with PyAV if it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.files import whole_file
from ganart_zoo.imaging.images import to_pil

__all__ = ["ANIMATED", "check_animation", "save_animation"]

ANIMATED = (".gif", ".mp4")


def check_animation(path: Path) -> None:
    """Raise ImageError if `save_animation` cannot write the suffix of `path`. Call it before long work."""
    if path.suffix.lower() not in ANIMATED:
        raise ImageError(f"{path}: cannot write {path.suffix!r}; end the name with one of {', '.join(ANIMATED)}")
    if path.suffix.lower() == ".mp4":
        try:
            import av  # noqa: F401  only checks that it is installed
        except ImportError:
            raise ImageError(f"{path}: MP4 needs PyAV; pip install 'ganart-zoo[video]', or end it with .gif") from None


def save_animation(frames: Iterator[Tensor], path: Path, *, fps: int, loop: bool = False) -> int:
    """Write frames one by one. The file appears complete or not at all.

    Args:
        frames: At least one, each `[1, 3, H, W]` or `[3, H, W]`, clamped to 0..1. MP4 needs even sides.
        path: `.gif` or `.mp4`. An existing file is replaced; its folder must exist.
        fps: Frames per second. A GIF has a resolution of a hundredth of a second, so 30 become 33.
        loop: Whether a GIF repeats. For an MP4, the player decides.

    Returns:
        The number of frames written.

    Raises:
        ImageError: A frame is invalid (see `to_pil`), or the file cannot be written.
    """
    check_animation(path)
    counted = _Counted(frames)
    try:
        with whole_file(path) as part:
            if path.suffix.lower() == ".gif":
                _write_gif(counted, part, fps, loop)
            else:
                _write_mp4(counted, part, fps)
    except OSError as error:  # includes the errors of PyAV
        raise ImageError(f"{path}: not written: {error.strerror or error}") from None
    return counted.count


class _Counted:
    """Iterates over the frames as Pillow images and counts them."""

    def __init__(self, frames: Iterator[Tensor]) -> None:
        self._frames = frames
        self.count = 0

    def __iter__(self) -> Iterator[Image.Image]:
        for frame in self._frames:
            self.count += 1
            yield to_pil(frame)


def _write_gif(frames: _Counted, path: Path, fps: int, loop: bool) -> None:
    images = iter(frames)
    first = next(images)
    repeat = {"loop": 0} if loop else {}
    milliseconds = max(20, round(100 / fps) * 10)  # players slow down shorter durations
    first.save(path, format="GIF", save_all=True, append_images=images, duration=milliseconds, **repeat)


def _write_mp4(frames: _Counted, path: Path, fps: int) -> None:
    import av

    images = iter(frames)
    first = next(images)
    if first.width % 2 or first.height % 2:
        raise ImageError(f"frames of {first.width}×{first.height} cannot be MP4, which needs even sides; save as .gif")
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuv420p"
        for image in chain([first], images):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")))
        container.mux(stream.encode(None))
