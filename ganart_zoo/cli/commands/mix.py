"""`ganart mix`: a grid of pictures that mix the styles of seeds."""

from __future__ import annotations

import sys

import click

from ganart_zoo.cli.chosen import Chosen, seed_list
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork
from ganart_zoo.cli.options import (
    PICTURE,
    class_option,
    generator_options,
    output_option,
    prompt_option,
    result_options,
    settings_flags,
)
from ganart_zoo.cli.show import emit_json
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry import Zoo

__all__ = ["command"]


@click.command("mix", short_help="Mix the styles of seeds, by layer.")
@click.option("--rows", required=True, metavar="SEEDS", help="Seeds of the rows, such as 0,1,5-8: all other layers.")
@click.option("--columns", required=True, metavar="SEEDS", help="Seeds of the columns, whose styles --layers use.")
@click.option(
    "--layers", required=True, metavar="FIRST-LAST", help="Counted from 0: early layers shape, late layers colour."
)
@class_option
@prompt_option
@settings_flags("truncation")
@output_option(PICTURE)
@result_options
@generator_options
@pass_zoo
def command(
    zoo: Zoo,
    chosen: Chosen,
    rows: str,
    columns: str,
    layers: str,
    label: str | None,
    prompt: str | None,
    output: str,
    force: bool,
    quiet: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Mix the styles of seeds in a grid: RUN_OR_MODEL is the folder of a run, or the name, of a style generator.

    \b
    ganart mix runs/styles --rows 0-3 --columns 10-14 --layers 0-3 -o mixed.png

    Each picture has the styles of its row's seed in all layers but LAYERS, where it has those of its column's seed.
    """
    first, dash, last = layers.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        raise SettingsError(f"--layers is {layers!r}, expected a range such as 0-3, or one number")
    seeds = seed_list("--rows", rows), seed_list("--columns", columns)
    with LongWork(quiet) as work:
        generator = chosen.load(zoo, flags, work)
        from ganart_zoo.tasks.mix import mix

        work.show(output)
        result = mix(
            generator,
            *seeds,
            (int(first), int(last or first)),
            output,
            label=label,
            prompt=prompt,
            force=force,
            on_step=work.step,
        )
    if as_json:
        emit_json({"path": str(result.path), "seconds": result.seconds})
    elif not quiet:
        row_count, column_count = result.images.shape[:2]
        click.echo(f"{output}  {row_count} × {column_count} pictures  {result.seconds:.1f} s", file=sys.stdout)
