"""`ganart new`: a complete plugin package, ready to install, test and publish."""

from __future__ import annotations

import click

from ganart_zoo.authoring import NEW_KINDS, names_of, new_package
from ganart_zoo.cli.options import json_option
from ganart_zoo.cli.show import emit_json, note

__all__ = ["command"]


@click.command("new")
@click.argument("name")
@click.option("--kind", required=True, metavar="KIND", help=f"What to begin with: {', '.join(NEW_KINDS)}.")
@click.option("--native", is_flag=True, help="Add an op in C++ and CUDA, with its fallback, tests and benchmark.")
@json_option
def command(name: str, kind: str, native: bool, as_json: bool) -> None:
    """Make the folder NAME with a plugin package that installs, runs and passes its tests.

    The distribution, the module and the model are called as the folder, with capitals, dots and underscores
    normalised as package indexes do.
    """
    folder = new_package(name, kind, native=native)
    names = names_of(name)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if as_json:
        emit_json(
            {
                "folder": str(folder),
                "distribution": names.distribution,
                "module": names.module,
                "model": names.model,
                "kind": kind,
                "files": files,
            }
        )
        return
    for file in files:
        click.echo(f"{name}/{file}")
    flags = "--no-build-isolation " if native else ""
    note(f"made {names.distribution}; next: pip install {flags}-e './{name}[test]', pytest {name}, ganart check {name}")
