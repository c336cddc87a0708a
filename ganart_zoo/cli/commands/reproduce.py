"""`ganart reproduce`: makes a picture again from its record, and compares the pixels."""

from __future__ import annotations

from pathlib import Path

import click

from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.loading_torch import load_torch
from ganart_zoo.cli.long_work import LongWork
from ganart_zoo.cli.options import fetch_option, json_option, output_option, quiet_option
from ganart_zoo.cli.show import BROKEN, emit_json, record_data
from ganart_zoo.registry import Zoo

__all__ = ["command"]


@click.command("reproduce", short_help="Make a picture again from its record, and compare.")
@click.argument("picture")
@click.option(
    "--inputs",
    metavar="DIR",
    multiple=True,
    help="A folder with input files, known by contents. Can be repeated.",
)
@output_option("Where to keep the new picture. Default: it is not kept.", required=False)
@click.option("--device", help="Default: the device the picture was made on.")
@fetch_option
@quiet_option
@json_option
@pass_zoo
def command(
    zoo: Zoo,
    picture: str,
    inputs: tuple[str, ...],
    output: str | None,
    device: str | None,
    fetch: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make PICTURE again from the record in it, and say whether the pixels agree.

    The input files are looked for beside the picture, then under each --inputs. Exit code 0: all pixels agree; 1: some
    differ; 2: the picture could not be made.
    """
    with LongWork(quiet) as work:
        work.show(f"making {Path(picture).name} again")
        load_torch()
        from ganart_zoo.tasks.reproduce import reproduce

        result = reproduce(zoo, picture, inputs=inputs, output=output, device=device, fetch=fetch, on_step=work.step)
    if as_json:
        emit_json(
            {
                "agree": result.pixels.agree,
                "pixels": result.pixels._asdict(),
                "changes": result.changes,
                "seconds": result.seconds,
                "output": None if result.path is None else str(result.path),
                "record": record_data(result.record),
            }
        )
    else:
        for change in result.changes:
            click.echo(f"changed: {change}")
        click.echo(f"{picture}: {result.pixels} (made again in {result.seconds:.1f} s)")
    if not result.pixels.agree:
        click.get_current_context().exit(BROKEN)
