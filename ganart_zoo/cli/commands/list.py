"""`ganart list`: the models, by kind. Neither its help nor its tables load torch, pydantic or rich."""

from __future__ import annotations

from typing import Any

import click

from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.options import json_option
from ganart_zoo.cli.show import emit_json, fit_width, note
from ganart_zoo.contract.spec import CAPABILITIES, KINDS
from ganart_zoo.registry import Entry, Zoo

__all__ = ["command"]


@click.command("list")
@click.option("--kind", metavar="KIND", help=f"Only models of this kind: {', '.join(KINDS)}.")
@click.option("--capability", metavar="NAME", help=f"Only models with it: {', '.join(CAPABILITIES)}, or x-….")
@click.option("--plugin", metavar="DIST", help="Only models of this distribution.")
@json_option
@pass_zoo
def command(zoo: Zoo, kind: str | None, capability: str | None, plugin: str | None, as_json: bool) -> None:
    """List the models, by kind."""
    entries = zoo.list(kind=kind, capability=capability, plugin=plugin)
    if as_json:
        emit_json([_describe(zoo, entry) for entry in entries])
    elif entries:
        _print(zoo, entries)
    else:
        note("no such model is installed" if kind or capability or plugin else "no plugin with a model is installed")
    if zoo.faults:
        count = len(zoo.faults)
        note(f"{count} fault{'s' if count > 1 else ''} in plugins; ganart doctor shows them")


def _describe(zoo: Zoo, entry: Entry) -> dict[str, Any]:
    return {
        "name": zoo.display_name(entry),
        "canonical": entry.canonical,
        "kind": entry.spec.kind,
        "summary": entry.spec.summary,
        "capabilities": sorted(entry.spec.capabilities),
        "license": entry.spec.license,
        "plugin": entry.plugin.distribution,
        "version": entry.plugin.version,
    }


def _print(zoo: Zoo, entries: tuple[Entry, ...]) -> None:
    names = {entry.canonical: zoo.display_name(entry) for entry in entries}
    name_width = max(map(len, names.values()))
    plugin_width = max(len(entry.plugin.distribution) for entry in entries)
    first = True
    for kind, meaning in KINDS.items():
        of_kind = [entry for entry in entries if entry.spec.kind == kind]
        if not of_kind:
            continue
        click.echo(f"{'' if first else chr(10)}{click.style(kind, bold=True)}  {meaning}")
        first = False
        for entry in of_kind:
            name, plugin = names[entry.canonical], entry.plugin.distribution
            click.echo(fit_width(f"  {name:{name_width}}  {plugin:{plugin_width}}  {entry.spec.summary}"))
