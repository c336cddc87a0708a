"""Pictures in a row to one moving file: GIF by Pillow, MP4 by PyAV where that is installed."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.images import to_pil

__all__ = ["ANIMATED", "check_animation", "save_animation"]

ANIMATED = (".gif", ".mp4")


def check_animation(path: Path) -> None:
    """Raise ImageError unless `save_animation` can write the suffix of `path`; call it before a long run."""
    if path.suffix.lower() not in ANIMATED:
        raise ImageError(f"{path}: cannot write {path.suffix!r}; end the name with one of {', '.join(ANIMATED)}")
    if path.suffix.lower() == ".mp4":
        try:
            import av  # noqa: F401  only asks whether it is there
        except ImportError:
            raise ImageError(f"{path}: MP4 needs PyAV; pip install 'ganart-zoo[video]', or end it with .gif") from None


def save_animation(frames: Iterator[Tensor], path: Path, *, fps: int, loop: bool = False) -> int:
    """Write frames as they come; the file appears whole or not at all.

    Args:
        frames: Each `[1, 3, H, W]` or `[3, H, W]`, clamped to 0..1; for MP4 of even sides. At least one.
        path: `.gif` or `.mp4`. An existing file is replaced; its folder must exist.
        fps: Frames a second. A GIF counts in hundredths of a second, so 30 are played as 33.
        loop: A GIF starts over at its end. An MP4 leaves that to the player.

    Returns:
        How many were written.

    Raises:
        ImageError: A frame is unfit (see `to_pil`), or the file cannot be written.
    """
    check_animation(path)
    counted = _Counted(frames)
    part = path.with_name(f".ganart-{secrets.token_hex(8)}.part")
    try:
        if path.suffix.lower() == ".gif":
            _write_gif(counted, part, fps, loop)
        else:
            _write_mp4(counted, part, fps)
        part.replace(path)
    except OSError as error:  # PyAV's errors of the codecs are OSErrors or ValueErrors too
        raise ImageError(f"{path}: not written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):  # gone already where all went well
            part.unlink()
    return counted.count


class _Counted:
    """The frames as Pillow images, counted."""

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
    again = {"loop": 0} if loop else {}
    milliseconds = max(20, round(100 / fps) * 10)  # players slow down what is quicker
    first.save(path, format="GIF", save_all=True, append_images=images, duration=milliseconds, **again)


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
