"""What `ganart stylize` does with a clip: find out that it is one, restyle it, and say what came of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganart_zoo.cli.show import emit_json, note
from ganart_zoo.contract.errors import SettingsError, count_of
from ganart_zoo.imaging.files import ANIMATED_PICTURES, VIDEOS

if TYPE_CHECKING:
    from ganart_zoo.cli.long_work import LongWork
    from ganart_zoo.running.processes import Processes
    from ganart_zoo.tasks.clip import ClipStylizer, RestyledClip

__all__ = ["clip_options", "clip_source", "report_clip", "restyle_clip"]


def clip_options(function: click.decorators.FC) -> click.decorators.FC:
    """Add `--smooth` and `--fps`."""
    smooth = click.option(
        "--smooth",
        type=click.FloatRange(0, 1),
        default=0.8,
        show_default=True,
        help="Of a clip: how much of the paint moves along with what it shows; 0 restyles each frame by itself.",
    )
    fps = click.option("--fps", type=float, help="Of a clip made from a folder of frames. Default: 25.")
    return smooth(fps(function))


def clip_source(contents: Sequence[str], output: str) -> Path | None:
    """Return the clip that is to be restyled as a clip, or None where photos are.

    A video always is one. A GIF, a WebP or a folder of frames is where OUT is a video or an animation.

    Raises:
        SettingsError: A video comes with other contents, or OUT is a single picture.
    """
    paths = [Path(content) for content in contents]
    to_video, to_animation = (Path(output).suffix.lower() in kind for kind in (VIDEOS, ANIMATED_PICTURES))
    videos = [path for path in paths if path.suffix.lower() in VIDEOS]
    if videos and len(paths) > 1:
        raise SettingsError(f"{videos[0]}: is a clip, and clips are restyled one by one; give it alone")
    if videos and Path(output).suffix and not (to_video or to_animation):
        raise SettingsError(f"{output}: is one picture, and {videos[0]} is a clip; name a .mp4, a .gif or a folder")
    if videos:
        return videos[0]
    if len(paths) != 1 or not (to_video or to_animation):
        return None
    if paths[0].is_dir():
        return paths[0] if to_video or Path(output).suffix.lower() == ".gif" else None
    from ganart_zoo.imaging.clips import is_clip

    return paths[0] if to_video or is_clip(paths[0]) else None


def restyle_clip(
    stylizer: ClipStylizer,
    source: Path,
    output: str,
    work: LongWork,
    *,
    smooth: float,
    fps: float | None,
    force: bool,
    team: Processes,
) -> RestyledClip:
    """Restyle the clip and show its progress; errors are those of `ClipStylizer.clip`."""
    work.start(source.name)
    return stylizer.clip(source, output, smooth=smooth, fps=fps, force=force, processes=team, on_step=work.step)


def report_clip(made: RestyledClip, *, as_json: bool, quiet: bool) -> None:
    """Print what came of it."""
    if as_json:
        facts = {"frames": made.frames, "resumed": made.resumed, "cuts": list(made.cuts), "seconds": made.seconds}
        emit_json({"output": str(made.path), **facts, "stopped": made.stopped})
    elif not quiet:
        resumed = f", {made.resumed} of them from before" if made.resumed else ""
        click.echo(f"{made.path}  {count_of(made.frames, 'frame')}{resumed}  {made.seconds:.1f} s", file=sys.stdout)
    if made.stopped:
        note("stopped; the clip has the frames so far, and the same command goes on from there")
