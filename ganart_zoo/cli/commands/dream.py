"""`ganart dream`: exaggerates what a network sees in photos, as pictures or as an animation into one."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ganart_zoo.cli.chosen import Loading
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork, exit_interrupted
from ganart_zoo.cli.options import (
    depth_option,
    loading_options,
    max_memory_option,
    max_pixels_option,
    output_option,
    result_options,
    settings_flags,
)
from ganart_zoo.cli.photos import finish, limits_of, long_side_of, long_side_option, run_jobs, weighted
from ganart_zoo.cli.show import emit_json
from ganart_zoo.contract.errors import SettingsError, count_of
from ganart_zoo.registry import Zoo

__all__ = ["command"]


@click.command("dream", short_help="Exaggerate what a network sees in photos.")
@click.argument("contents", metavar="CONTENT...", nargs=-1, required=True)
@output_option("A picture: .png, .jpg, .webp, .tif, .avif or .heic; or a folder. With --zoom, a .gif or .mp4 file.")
@click.option(
    "-m",
    "--model",
    default="ganart-deepdream/deepdream",
    show_default=True,
    help="A style_transfer model with the capability no_style.",
)
@click.option(
    "-g",
    "--guide",
    "guides",
    metavar="PICTURE[:WEIGHT]",
    multiple=True,
    help="Dream towards the features of this picture. Repeat to blend; weights are shares.",
)
@long_side_option
@settings_flags("steps", "preserve_colour", "strength")
@click.option("--init", metavar="PICTURE", help="Start from this picture.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the noise, the same for all photos.")
@click.option("--zoom", metavar="FRAMES", type=int, help="Animate: enlarge the centre and dream again, frame by frame.")
@click.option("--zoom-rate", type=float, default=1.04, show_default=True, help="Enlargement from frame to frame.")
@click.option("--zoom-steps", type=int, default=10, show_default=True, help="Steps of each frame after the first.")
@click.option("--fps", type=int, default=20, show_default=True, help="Frames per second.")
@max_memory_option
@max_pixels_option
@depth_option
@result_options
@loading_options
@pass_zoo
def command(
    zoo: Zoo,
    contents: tuple[str, ...],
    output: str,
    model: str,
    guides: tuple[str, ...],
    size: str,
    init: str | None,
    seed: int,
    zoom: int | None,
    zoom_rate: float,
    zoom_steps: int,
    fps: int,
    loading: Loading,
    max_memory: str | None,
    max_pixels: int | None,
    depth: str,
    force: bool,
    quiet: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Exaggerate what a network sees in photos: CONTENT is a picture or a folder of them.

    \b
    ganart dream photo.jpg -o out.png
    ganart dream photo.jpg --guide flowers.jpg -o out.png
    ganart dream photo.jpg --set layers=block8 --set octaves=3 -o out.png
    ganart dream photo.jpg --size 256 --zoom 60 -o out.gif

    A picture that exists already, made of the same inputs with the same settings, is skipped; --force makes it again.
    A file that ganart did not make is left alone, unless --force. MP4 needs the extra ganart-zoo[video].

    Ctrl-C saves the best picture, or the frames, so far and ends with exit code 130; a second Ctrl-C aborts at once.
    """
    entry = zoo.entry(model)
    settings = loading.check(zoo, model, flags)
    long_side = long_side_of(size)
    if zoom is not None and (len(contents) > 1 or Path(contents[0]).is_dir()):
        raise SettingsError("--zoom animates one photo, and several were given; give one")
    if zoom is not None and init is not None:
        raise SettingsError("--zoom and --init were both given; leave one out")
    with LongWork(quiet) as work:
        work.show(f"loading {zoo.display_name(entry)}")
        options = loading.options(settings)
        limits = limits_of(max_memory, max_pixels, depth)
        from ganart_zoo.running.batch import plan
        from ganart_zoo.running.stylists import StyleInput
        from ganart_zoo.tasks.dream import Dreamer

        jobs = plan(contents, output) if zoom is None else ()
        pictures = [StyleInput(image=picture, weight=weight) for picture, weight in map(weighted, guides)]
        dreamer = Dreamer(zoo, model, pictures, init=init, seed=seed, size=long_side, **limits, **options)
        if zoom is not None:
            work.start(Path(output).name)
            result = dreamer.zoom(
                contents[0],
                Path(output),
                frames=zoom,
                rate=zoom_rate,
                frame_steps=zoom_steps,
                fps=fps,
                force=force,
                on_step=work.step,
            )
        outcomes = run_jobs(dreamer, jobs, work, force=force, silent=quiet or as_json)
    if zoom is None:
        finish(len(jobs), outcomes, as_json, work.interrupted)
        return
    if as_json:
        facts = {"frames": result.frames, "seconds": result.seconds, "stopped": result.stopped}
        emit_json({"path": str(result.path), **facts})
    elif not quiet:
        click.echo(f"{output}  {count_of(result.frames, 'frame')}  {result.seconds:.1f} s", file=sys.stdout)
    if result.stopped:
        exit_interrupted(f"stopped after {count_of(result.frames, 'frame')}; what was made is kept")
