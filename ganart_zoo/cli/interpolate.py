"""`ganart interpolate`: a moving picture from one seed to the next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ganart_zoo.cli.generators import Chosen, generator_options, prompt_option, seed_list
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.interrupt import Interrupt
from ganart_zoo.cli.progress import progress
from ganart_zoo.cli.settings import option_flags
from ganart_zoo.cli.show import INTERRUPTED, emit_json, json_option, note
from ganart_zoo.registry import Zoo

if TYPE_CHECKING:
    from ganart_zoo.contract.events import StepEvent
    from ganart_zoo.tasks.interpolate import Route, Space

__all__ = ["interpolate"]


@click.command(short_help="Move from one seed's picture to the next.")
@click.option("--seeds", metavar="0,1,…", default="", help="At least two, or with latents as many fewer.")
@click.option("--latents", metavar="FILE", multiple=True, help="Of ganart project; after the seeds. Repeatable.")
@click.option("--frames", "steps", type=int, default=30, show_default=True, help="From one seed to the next.")
@click.option("--space", type=click.Choice(["z", "w"]), help="Default: w where the model has styles.")
@click.option("--route", type=click.Choice(["linear", "spherical"]), help="Default: linear in w, spherical in z.")
@click.option("--class", "label", metavar="CLASS", help="Number or name. Default: the first, where there are classes.")
@prompt_option
@option_flags("truncation")
@click.option("--loop", is_flag=True, help="Return to the first seed.")
@click.option("--fps", type=int, default=30, show_default=True, help="Frames a second.")
@click.option("-o", "--output", required=True, metavar="OUT", help="A .gif or .mp4 file; or a folder for frames.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("-q", "--quiet", is_flag=True, help="Tell of nothing but errors.")
@json_option
@generator_options
@pass_zoo
def interpolate(
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
    """Move from one seed's picture to the next: RUN_OR_MODEL is the folder of a training run, or a name.

    \b
    ganart interpolate runs/first --seeds 3,8,1 --loop -o way.gif
    ganart interpolate runs/styles --seeds 3 --latents found.safetensors -o way.gif

    MP4 needs the extra ganart-zoo[video]. Ctrl-C keeps the frames until then and ends with exit code 130.
    """
    settings = chosen.check(zoo, flags)
    numbers = seed_list("--seeds", seeds)
    with progress(quiet) as shown:
        shown.begin(f"loading {chosen.model}")
        generator = chosen.load(zoo, settings)
        from ganart_zoo.tasks.interpolate import interpolate as run

        with Interrupt() as interrupt:
            shown.begin(output)

            def on_step(event: StepEvent) -> bool | None:
                shown.step(event)
                return False if interrupt.asked else None

            made = run(
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
                on_step=on_step,
            )
    if as_json:
        emit_json({"path": str(made.path), "frames": made.frames, "seconds": made.seconds, "stopped": made.stopped})
    elif not quiet:
        click.echo(f"{output}  {made.frames} frames  {made.seconds:.1f} s", file=sys.stdout)
    if made.stopped:
        note(f"stopped after {made.frames} frames, which are kept")
        click.get_current_context().exit(INTERRUPTED)
