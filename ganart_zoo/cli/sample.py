"""`ganart sample`: pictures of a generator, as a grid or as single files."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from ganart_zoo.cli.generators import Chosen, class_list, generator_options, prompt_option
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.interrupt import Interrupt
from ganart_zoo.cli.progress import progress
from ganart_zoo.cli.settings import option_flags
from ganart_zoo.cli.show import INTERRUPTED, emit_json, json_option, note
from ganart_zoo.registry import Zoo

if TYPE_CHECKING:
    from ganart_zoo.contract.events import StepEvent

__all__ = ["sample"]


@click.command(short_help="Make pictures with a generator.")
@click.option("-n", "--count", "n", type=int, help="How many pictures. Default: 16, or all of the latents.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first picture; the next has the next.")
@click.option("--latents", metavar="FILE", help="Paint these, of ganart project, in place of those of seeds.")
@click.option("--classes", metavar="0,1,…", help="Numbers or names, taken in turn. Default: all there are.")
@prompt_option
@option_flags("truncation", "steps", "guidance", "negative_prompt")
@click.option("--columns", type=int, help="Of the grid.")
@click.option(
    "-o", "--output", required=True, metavar="OUT", help="A .png, .jpg or .webp file for a grid; or a folder."
)
@click.option("--force", is_flag=True, help="Replace files that ganart did not make.")
@click.option("-q", "--quiet", is_flag=True, help="Tell of nothing but errors.")
@json_option
@generator_options
@pass_zoo
def sample(
    zoo: Zoo,
    chosen: Chosen,
    n: int | None,
    seed: int,
    latents: str | None,
    classes: str | None,
    prompt: str | None,
    columns: int | None,
    output: str,
    force: bool,
    quiet: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Make pictures with a generator: RUN_OR_MODEL is the folder of a training run, or a name of ganart list.

    \b
    ganart sample runs/first -n 16 --seed 0 -o grid.png
    ganart sample runs/first -n 100 --classes 3,7 -o pictures/
    ganart sample runs/styles --latents found.safetensors -o found.png

    Picture k is that of seed SEED + k, the same however many are made. A folder as OUT gets single files, each with the
    record of its making. Ctrl-C keeps the pictures that are finished and ends with exit code 130.
    """
    settings = chosen.check(zoo, flags)
    with progress(quiet) as shown:
        shown.begin(f"loading {chosen.model}")
        generator = chosen.load(zoo, settings)
        from ganart_zoo.tasks.sample import sample as run

        with Interrupt() as interrupt:
            shown.begin(output)

            def on_step(event: StepEvent) -> bool | None:
                shown.step(event)
                return False if interrupt.asked else None

            made = run(
                generator,
                n,
                output,
                seed=seed,
                latents=latents,
                classes=class_list(classes),
                prompt=prompt,
                columns=columns,
                force=force,
                on_step=on_step,
            )
    count = len(made.images)
    if as_json:
        emit_json(
            {
                "paths": [str(path) for path in made.paths],
                "pictures": count,
                "stopped": made.stopped,
                "seconds": made.seconds,
                "record": json.loads(made.record.to_text()),
            }
        )
    elif not quiet and count:
        height, width = made.images.shape[-2:]
        click.echo(f"{output}  {count} × {width}×{height}  {made.seconds:.1f} s", file=sys.stdout)
    if made.stopped:
        of_all = "" if n is None else f" of {n}"
        note(f"stopped; {count}{of_all} pictures are finished" + ("" if count else ", so nothing was saved"))
        click.get_current_context().exit(INTERRUPTED)
