"""`ganart reproduce`: makes a picture again from its record, and compares."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.progress import progress
from ganart_zoo.cli.show import BROKEN, emit_json, json_option
from ganart_zoo.registry import Zoo

__all__ = ["reproduce"]


@click.command(short_help="Make a picture again from its record, and compare.")
@click.argument("picture")
@click.option(
    "--inputs", metavar="DIR", multiple=True, help="Also look here for the input files. Files are known by contents."
)
@click.option("-o", "--output", metavar="OUT", help="Keep the new picture.")
@click.option("--device", help="Default: the one it was made on.")
@click.option("--fetch", is_flag=True, help="Download weights that are missing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@json_option
@pass_zoo
def reproduce(
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
    differ; 2: it could not be made.
    """
    with progress(quiet) as shown:
        shown.begin(f"making {Path(picture).name} again")
        from ganart_zoo import native
        from ganart_zoo.tasks import reproduce as task

        native.tune_allocator()
        made = task.reproduce(
            zoo, picture, inputs=inputs, output=output, device=device, fetch=fetch, on_step=shown.step
        )
    if as_json:
        emit_json(
            {
                "agree": made.pixels.agree,
                "pixels": made.pixels._asdict(),
                "changes": made.changes,
                "seconds": made.seconds,
                "output": None if made.path is None else str(made.path),
                "record": json.loads(made.record.to_text()),
            }
        )
    else:
        for change in made.changes:
            click.echo(f"changed: {change}")
        click.echo(f"{picture}: {made.pixels} (made again in {made.seconds:.1f} s)")
    if not made.pixels.agree:
        click.get_current_context().exit(BROKEN)
