"""`ganart export`: a run's generator as a package and as ONNX."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.progress import progress
from ganart_zoo.cli.show import emit_json, json_option
from ganart_zoo.registry import Zoo

__all__ = ["export"]


@click.command(short_help="Write a run as a package to publish, and as ONNX.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", help="Of the model; default: that of the folder.")
@click.option("--license", default="", help="SPDX expression of the weights: what the data allows.")
@click.option("--onnx/--no-onnx", default=True, show_default=True, help="Write ONNX too; needs ganart-zoo[onnx].")
@click.option("-q", "--quiet", is_flag=True, help="Tell of nothing but errors.")
@json_option
@pass_zoo
def export(
    zoo: Zoo, run: Path, folder: Path, name: str | None, license: str, onnx: bool, quiet: bool, as_json: bool
) -> None:
    """Write the generator of RUN to DIR, as a package that pip install takes, and as ONNX.

    \b
    ganart export runs/first garments/ --license MIT
    pip install ./garments && ganart sample garments -n 16 -o grid.png

    Both are checked: the weights give the run's pictures bit by bit, onnxruntime within a thousandth.
    """
    with progress(quiet) as shown:
        shown.begin(f"exporting {run}")
        from ganart_zoo.tasks.export import export as task

        made = task(zoo, run, folder, name=name, license=license, onnx=onnx)
    if as_json:
        emit_json(
            {
                "folder": str(made.folder),
                "files": [str(file) for file in made.files],
                "onnx_error": made.onnx_error,
            }
        )
    elif not quiet:
        checked = "" if made.onnx_error is None else f"  ONNX differs by {made.onnx_error:.2g} at most"
        click.echo(f"{folder}  {len(made.files)} files{checked}", file=sys.stdout)
