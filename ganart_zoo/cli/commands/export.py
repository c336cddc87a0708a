"""`ganart export`: writes a run's model as a package and as ONNX, or any model as ONNX alone."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ganart_zoo.cli.chosen import Loading, find_model
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork
from ganart_zoo.cli.options import json_option, loading_options, output_option, quiet_option
from ganart_zoo.cli.show import emit_json
from ganart_zoo.contract.errors import SettingsError, count_of
from ganart_zoo.registry import Zoo
from ganart_zoo.registry.runs import main_part, run_parts

__all__ = ["command"]

_AS_IN_THE_RUN = Loading((), "default", "cpu", None, False)


@click.command("export", short_help="Write a run as a package to publish, or a model as ONNX.")
@click.argument("model", metavar="RUN_OR_MODEL")
@click.argument("target", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@output_option(
    "The folder to create, the same as DIR; or a file NAME.onnx.",
    metavar="DIR_OR_FILE",
    required=False,
    type=click.Path(path_type=Path),
)
@click.option("--name", help="Name of the model. Default: the name of the folder.")
@click.option("--license", default="", help="SPDX expression of the licence of the weights, as the data allows.")
@click.option("--onnx/--no-onnx", default=True, show_default=True, help="Write ONNX too; needs ganart-zoo[onnx].")
@quiet_option
@json_option
@loading_options
@pass_zoo
def command(
    zoo: Zoo,
    model: str,
    loading: Loading,
    target: Path | None,
    output: Path | None,
    name: str | None,
    license: str,
    onnx: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write a run's model to a folder, as a package that pip can install, and as ONNX.

    \b
    ganart export runs/first -o garments/ --license MIT
    pip install ./garments && ganart sample garments -n 16 -o grid.png

    Both are checked: the weights give the run's pictures bit by bit, and onnxruntime within a thousandth.

    To a file that ends in .onnx, only ONNX is written, of a run or of a model by its name:

    \b
    ganart export multistyle -o multistyle.onnx
    """
    if (target is None) == (output is None):
        raise click.UsageError("give the folder once: as DIR, or with --output", click.get_current_context())
    target = target or output
    assert target is not None
    with LongWork(quiet) as work:
        work.show(f"exporting {model}")
        if target.suffix.lower() == ".onnx":
            if name is not None or license or not onnx:
                raise SettingsError(f"{target} is ONNX alone; leave --name, --license and --no-onnx out")
            chosen = find_model(model)
            settings = loading.check(zoo, _main_name(zoo, chosen))
            options = loading.options(settings)
            from ganart_zoo.tasks.export import export_onnx

            result = export_onnx(zoo, chosen, target, **options)
        else:
            if loading != _AS_IN_THE_RUN:
                raise SettingsError("a run's model is exported as it is; leave the options out that load a model")
            from ganart_zoo.tasks.export import export

            result = export(zoo, Path(model), target, name=name, license=license, onnx=onnx)
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
        files = f"  {count_of(len(result.files), 'file')}" if target.is_dir() else ""
        click.echo(f"{target}{files}{checked}", file=sys.stdout)


def _main_name(zoo: Zoo, model: str | Path) -> str:
    """Return the name of the model itself, or of the main network of the run."""
    if isinstance(model, Path):
        return run_parts(model)[main_part(model)].model
    return zoo.entry(model).canonical
