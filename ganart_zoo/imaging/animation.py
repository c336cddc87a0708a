"""Writes sequences of pictures as animations, at one pace; `imaging.clips` writes the files."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.clips import WRITTEN, Frame, check_video, write_clip
from ganart_zoo.imaging.files import check_ordinary

__all__ = ["ANIMATED", "check_animation", "save_animation"]

ANIMATED = WRITTEN


def check_animation(path: Path) -> None:
    """Raise ImageError if `save_animation` cannot write to `path`. Call it before long work."""
    if path.suffix.lower() not in ANIMATED:
        raise ImageError(f"{path}: cannot write {path.suffix!r}; end the name with one of {', '.join(ANIMATED)}")
    check_video(path)
    check_ordinary(path)


def save_animation(frames: Iterator[Tensor], path: Path, *, fps: int, loop: bool = False) -> int:
    """Write frames one by one. The file appears complete or not at all.

    Args:
        frames: At least one, each `[1, 3, H, W]` or `[3, H, W]`, clamped to 0..1. A video of odd size gains one row or
            column.
        path: `.gif`, `.webp`, `.mp4`, `.mov`, `.mkv` or `.webm`. An existing file is replaced; its folder must exist.
        fps: Frames per second. A GIF counts hundredths of a second, so at 30 its frames last three or four of them.
        loop: Whether a GIF or WebP repeats. For a video, the player decides.

    Returns:
        The number of frames written.

    Raises:
        ImageError: A frame is invalid (see `to_pil`), or the file cannot be written.
    """
    check_animation(path)
    shown = (Frame(image, Fraction(number, fps)) for number, image in enumerate(frames))
    return write_clip(shown, path, fps=Fraction(fps), loop=loop)
