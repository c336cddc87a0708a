"""`ganart interpolate`: an animation from one seed's picture to the next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ganart_zoo.cli.chosen import Chosen, seed_list
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork, exit_interrupted
from ganart_zoo.cli.options import (
    class_option,
    generator_options,
    output_option,
    prompt_option,
    result_options,
    settings_flags,
)
from ganart_zoo.cli.show import emit_json
from ganart_zoo.contract.errors import count_of
from ganart_zoo.registry import Zoo

if TYPE_CHECKING:
    from ganart_zoo.tasks.interpolate import Route, Space

__all__ = ["command"]


@click.command("interpolate", short_help="Animate the path from one seed's picture to the next.")
@click.option("--seeds", metavar="0,1,…", default="", help="At least two seeds; fewer where --latents are given.")
@click.option(
    "--latents", metavar="FILE", multiple=True, help="Latents from ganart project, after the seeds. Can be repeated."
)
@click.option("--frames", "steps", type=int, default=30, show_default=True, help="Frames from one seed to the next.")
@click.option("--space", type=click.Choice(["z", "w"]), help="Default: w where the model has styles, else z.")
@click.option("--route", type=click.Choice(["linear", "spherical"]), help="Default: linear in w, spherical in z.")
@class_option
@prompt_option
@settings_flags("truncation")
@click.option("--loop", is_flag=True, help="Return to the first seed.")
@click.option("--fps", type=int, default=30, show_default=True, help="Frames per second.")
@output_option("A .gif or .mp4 file; or a folder for frames.")
@result_options
@generator_options
@pass_zoo
def command(
    zoo: Zoo,
    chosen: Chosen,
    seeds: str,
    latents: tuple[str, ...],
    steps: int,
    space: Space | None,
    route: Route | None,
    label: str | None,
    prompt: str | None,
    loop: bool,
    fps: int,
    output: str,
    force: bool,
    quiet: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Animate the path from one seed's picture to the next: RUN_OR_MODEL is the folder of a training run, or a name.

    \b
    ganart interpolate runs/first --seeds 3,8,1 --loop -o path.gif
    ganart interpolate runs/styles --seeds 3 --latents found.safetensors -o path.gif

    MP4 needs the extra ganart-zoo[video]. Ctrl-C keeps the frames so far and ends with exit code 130.
    """
    numbers = seed_list("--seeds", seeds)
    with LongWork(quiet) as work:
        generator = chosen.load(zoo, flags, work)
        from ganart_zoo.tasks.interpolate import interpolate

        work.start(output)
        result = interpolate(
            generator,
            numbers,
            output,
            latents=latents,
            steps=steps,
            space=space,
            route=route,
            label=label,
            prompt=prompt,
            loop=loop,
            fps=fps,
            force=force,
            on_step=work.step,
        )
    if as_json:
        facts = {"frames": result.frames, "seconds": result.seconds, "stopped": result.stopped}
        emit_json({"path": str(result.path), **facts})
    elif not quiet:
        click.echo(f"{output}  {count_of(result.frames, 'frame')}  {result.seconds:.1f} s", file=sys.stdout)
    if result.stopped:
        exit_interrupted(f"stopped after {count_of(result.frames, 'frame')}; what was made is kept")
