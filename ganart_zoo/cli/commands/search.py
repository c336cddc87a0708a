"""`ganart search`: looks for plugins in a catalogue. It never installs anything."""

from __future__ import annotations

import os
from dataclasses import asdict

import click

from ganart_zoo.cli.options import json_option
from ganart_zoo.cli.show import emit_json, fit_width, note
from ganart_zoo.contract.errors import count_of
from ganart_zoo.registry.plugin_catalogue import read_catalogue

__all__ = ["command"]


@click.command("search")
@click.argument("catalogue", metavar="FILE|URL")
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("--kind", metavar="KIND", help="Only plugins with a model of this kind.")
@click.option("--key", metavar="KEY", help="Refuse a catalogue that is not signed with this public key of minisign.")
@json_option
def command(catalogue: str, words: tuple[str, ...], kind: str | None, key: str | None, as_json: bool) -> None:
    """Look for plugins in a catalogue, a JSON file. All words must occur in a name or summary.

    Nothing is installed: the command that would do so is shown, with the hash that the catalogue states. With --key,
    the signature beside the catalogue (its name and .minisig) must be by that key.
    """
    offline = os.environ.get("GANART_OFFLINE", "0") not in ("", "0")
    listed = read_catalogue(catalogue, offline=offline, key=key)
    found = [
        entry
        for entry in listed
        if entry.matches(words) and (kind is None or any(model.kind == kind for model in entry.models))
    ]
    if as_json:
        emit_json([{**asdict(entry), "install": entry.install} for entry in found])
        return
    for entry in found:
        licence = f" ({entry.license})" if entry.license else ""
        click.echo(fit_width(f"{click.style(entry.distribution, bold=True)} {entry.version}{licence}  {entry.summary}"))
        for model in entry.models:
            click.echo(fit_width(f"  {model.name}  {model.kind}  {model.summary}"))
        click.echo(f"  {entry.install}")
    note(f"{len(found)} of {count_of(len(listed), 'plugin')} in {catalogue}")
