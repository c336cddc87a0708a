"""`ganart export`: writes a run's generator as a package and as ONNX."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork
from ganart_zoo.cli.options import json_option, output_option, quiet_option
from ganart_zoo.cli.show import count_of, emit_json
from ganart_zoo.registry import Zoo

__all__ = ["command"]


@click.command("export", short_help="Write a run as a package to publish, and as ONNX.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@output_option("The folder to create; the same as DIR.", metavar="DIR", required=False, type=click.Path(path_type=Path))
@click.option("--name", help="Name of the model. Default: the name of the folder.")
@click.option("--license", default="", help="SPDX expression of the licence of the weights, as the data allows.")
@click.option("--onnx/--no-onnx", default=True, show_default=True, help="Write ONNX too; needs ganart-zoo[onnx].")
@quiet_option
@json_option
@pass_zoo
def command(
    zoo: Zoo,
    run: Path,
    folder: Path | None,
    output: Path | None,
    name: str | None,
    license: str,
    onnx: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write the generator of RUN to a folder, as a package that pip can install, and as ONNX.

    \b
    ganart export runs/first -o garments/ --license MIT
    pip install ./garments && ganart sample garments -n 16 -o grid.png

    Both are checked: the weights give the run's pictures bit by bit, and onnxruntime within a thousandth.
    """
    if (folder is None) == (output is None):
        raise click.UsageError("give the folder once: as DIR, or with --output", click.get_current_context())
    target = folder or output
    assert target is not None
    with LongWork(quiet) as work:
        work.show(f"exporting {run}")
        from ganart_zoo.tasks.export import export

        result = export(zoo, run, target, name=name, license=license, onnx=onnx)
    if as_json:
        emit_json(
            {
                "folder": str(result.folder),
                "files": [str(file) for file in result.files],
                "onnx_error": result.onnx_error,
            }
        )
    elif not quiet:
        checked = "" if result.onnx_error is None else f"  ONNX differs by {result.onnx_error:.2g} at most"
        click.echo(f"{target}  {count_of(len(result.files), 'file')}{checked}", file=sys.stdout)
