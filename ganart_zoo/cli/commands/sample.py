"""`ganart sample`: pictures of a generator, as a grid or as single files."""

from __future__ import annotations

import sys

import click

from ganart_zoo.cli.chosen import Chosen, listed
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork, exit_interrupted
from ganart_zoo.cli.options import (
    classes_option,
    generator_options,
    output_option,
    prompt_option,
    reference_option,
    result_options,
    seed_option,
    settings_flags,
)
from ganart_zoo.cli.show import emit_json, record_data
from ganart_zoo.registry import Zoo

__all__ = ["command"]


@click.command("sample", short_help="Paint pictures with a generator.")
@click.option("-n", "--count", "n", type=int, help="Number of pictures. Default: 16, or all of the latents.")
@seed_option()
@click.option("--latents", metavar="FILE", help="Paint the latents of a file from ganart project.")
@classes_option
@prompt_option
@reference_option
@settings_flags("size", "truncation", "steps", "guidance", "negative_prompt")
@click.option("--columns", type=int, help="Columns of the grid.")
@output_option("A .png, .jpg or .webp file for a grid; or a folder for single files.")
@result_options
@generator_options
@pass_zoo
def command(
    zoo: Zoo,
    chosen: Chosen,
    n: int | None,
    seed: int,
    latents: str | None,
    classes: str | None,
    prompt: str | None,
    reference: str | None,
    columns: int | None,
    output: str,
    force: bool,
    quiet: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Paint pictures with a generator: RUN_OR_MODEL is the folder of a training run, or a name of ganart list.

    \b
    ganart sample runs/first -n 16 --seed 0 -o grid.png
    ganart sample runs/first -n 100 --classes 3,7 -o pictures/
    ganart sample runs/styles --latents found.safetensors -o found.png
    ganart sample patches --reference photo.jpg --size 512x256 -n 1 -o wider.png

    Picture k has the seed SEED + k and is the same however many pictures are painted. A folder as OUT gets single
    files, each with the record of how it was made. Ctrl-C keeps the finished pictures and ends with exit code 130.
    """
    with LongWork(quiet) as work:
        generator = chosen.load(zoo, flags, work)
        from ganart_zoo.tasks.sample import sample

        work.start(output)
        result = sample(
            generator,
            n,
            output,
            seed=seed,
            latents=latents,
            classes=listed(classes),
            prompt=prompt,
            reference=reference,
            columns=columns,
            force=force,
            on_step=work.step,
        )
    count = len(result.images)
    if as_json:
        emit_json(
            {
                "paths": [str(path) for path in result.paths],
                "pictures": count,
                "stopped": result.stopped,
                "seconds": result.seconds,
                "record": record_data(result.record),
            }
        )
    elif not quiet and count:
        height, width = result.images.shape[-2:]
        click.echo(f"{output}  {count} × {width}×{height}  {result.seconds:.1f} s", file=sys.stdout)
    if result.stopped:
        of_all = "" if n is None else f" of {n}"
        nothing = "" if count else ", so nothing was saved"
        exit_interrupted(f"stopped; {count}{of_all} pictures are finished{nothing}")
