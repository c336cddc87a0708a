"""`ganart list`: the models, by kind. Neither its help nor its tables load torch, pydantic or rich."""

from __future__ import annotations

from typing import Any

import click

from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.options import json_option
from ganart_zoo.cli.show import emit_json, fit_width, note
from ganart_zoo.contract.errors import count_of
from ganart_zoo.contract.spec import CAPABILITIES, KINDS, STABILITIES
from ganart_zoo.registry import Entry, RecipeEntry, Zoo

__all__ = ["command"]

_RECIPE = "recipe"
"""What recipes are listed as, beside the kinds of model."""


@click.command("list")
@click.option("--kind", metavar="KIND", help=f"Only this kind: {', '.join(KINDS)}, or recipe.")
@click.option("--capability", metavar="NAME", help=f"Only models with it: {', '.join(CAPABILITIES)}, or x-….")
@click.option("--plugin", metavar="DIST", help="Only models of this distribution.")
@click.option("--stability", metavar="WORD", help=f"Only models of this stability: {', '.join(STABILITIES)}.")
@json_option
@pass_zoo
def command(
    zoo: Zoo, kind: str | None, capability: str | None, plugin: str | None, stability: str | None, as_json: bool
) -> None:
    """List the models, by kind, and the recipes of ganart train."""
    entries = () if kind == _RECIPE else zoo.list(kind=kind, capability=capability, plugin=plugin, stability=stability)
    only_models = capability is not None or stability is not None
    recipes = zoo.recipes(plugin=plugin) if kind in (None, _RECIPE) and not only_models else ()
    found: tuple[Entry | RecipeEntry, ...] = (*entries, *recipes)
    if as_json:
        emit_json([_describe(zoo, entry) for entry in found])
    elif found:
        _print(zoo, found)
    if not as_json and not entries and kind != _RECIPE:
        note(
            "no such model is installed"
            if kind or capability or plugin or stability
            else "no plugin with a model is installed"
        )
    if zoo.faults:
        note(f"{count_of(len(zoo.faults), 'fault')} in plugins; ganart doctor shows them")


def _kind(entry: Entry | RecipeEntry) -> str:
    return entry.spec.kind if isinstance(entry, Entry) else _RECIPE


def _describe(zoo: Zoo, entry: Entry | RecipeEntry) -> dict[str, Any]:
    if isinstance(entry, Entry):
        more: dict[str, Any] = {
            "capabilities": sorted(entry.spec.capabilities),
            "style_names": list(entry.spec.style_names),
            "stability": entry.spec.stability,
        }
    else:
        more = {"networks": {role: use.kind for role, use in entry.spec.roles.items()}, "main": entry.spec.main}
    return {
        "name": zoo.display_name(entry),
        "canonical": entry.canonical,
        "kind": _kind(entry),
        "summary": entry.spec.summary,
        **more,
        "license": entry.spec.license,
        "plugin": entry.plugin.distribution,
        "version": entry.plugin.version,
    }


def _print(zoo: Zoo, entries: tuple[Entry | RecipeEntry, ...]) -> None:
    names = {entry.canonical: zoo.display_name(entry) for entry in entries}
    name_width = max(map(len, names.values()))
    plugin_width = max(len(entry.plugin.distribution) for entry in entries)
    first = True
    for kind, meaning in {**KINDS, _RECIPE: "a way of training: ganart train --recipe NAME"}.items():
        of_kind = [entry for entry in entries if _kind(entry) == kind]
        if not of_kind:
            continue
        click.echo(f"{'' if first else chr(10)}{click.style(kind, bold=True)}  {meaning}")
        first = False
        for entry in of_kind:
            name, plugin = names[entry.canonical], entry.plugin.distribution
            stability = entry.spec.stability if isinstance(entry, Entry) else "stable"
            word = "" if stability == "stable" else f"{stability}: "
            click.echo(fit_width(f"  {name:{name_width}}  {plugin:{plugin_width}}  {word}{entry.spec.summary}"))
