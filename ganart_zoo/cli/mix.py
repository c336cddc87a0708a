"""`ganart mix`: a grid of style mixtures."""

from __future__ import annotations

import sys

import click

from ganart_zoo.cli.generators import Chosen, generator_options, prompt_option, seed_list
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.progress import progress
from ganart_zoo.cli.settings import option_flags
from ganart_zoo.cli.show import emit_json, json_option
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry import Zoo

__all__ = ["mix"]


@click.command(short_help="Mix the styles of seeds, by layer.")
@click.option("--rows", required=True, metavar="SEEDS", help="Whose styles all other layers have: 0,1,5-8.")
@click.option("--columns", required=True, metavar="SEEDS", help="Whose styles the layers have.")
@click.option("--layers", required=True, metavar="FIRST-LAST", help="From 0: early ones shape, late ones colour.")
@click.option("--class", "label", metavar="CLASS", help="Number or name. Default: the first, where there are classes.")
@prompt_option
@option_flags("truncation")
@click.option("-o", "--output", required=True, metavar="OUT", help="A .png, .jpg or .webp file.")
@click.option("--force", is_flag=True, help="Replace a file that ganart did not make.")
@click.option("-q", "--quiet", is_flag=True, help="Tell of nothing but errors.")
@json_option
@generator_options
@pass_zoo
def mix(
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
    """Mix the styles of seeds in a grid: RUN_OR_MODEL is a style generator, a run's or by name.

    \b
    ganart mix runs/styles --rows 0-3 --columns 10-14 --layers 0-3 -o mixed.png

    Each picture has the styles of its row's seed, but at the layers given those of its column's.
    """
    settings = chosen.check(zoo, flags)
    first, dash, last = layers.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        raise SettingsError(f"--layers is {layers!r}, expected such as 0-3, or one number")
    seeds = seed_list("--rows", rows), seed_list("--columns", columns)
    with progress(quiet) as shown:
        shown.begin(f"loading {chosen.model}")
        generator = chosen.load(zoo, settings)
        from ganart_zoo.tasks.mix import mix as run

        shown.begin(output)
        made = run(
            generator,
            *seeds,
            (int(first), int(last or first)),
            output,
            label=label,
            prompt=prompt,
            force=force,
            on_step=shown.step,
        )
    if as_json:
        emit_json({"path": str(made.path), "seconds": made.seconds})
    elif not quiet:
        rows_made, columns_made = made.images.shape[:2]
        click.echo(f"{output}  {rows_made} × {columns_made} pictures  {made.seconds:.1f} s", file=sys.stdout)
