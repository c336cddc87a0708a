"""`ganart check`: what is wrong with a plugin, one line a finding."""

from __future__ import annotations

from pathlib import Path

import click

from ganart_zoo.authoring import check
from ganart_zoo.cli.options import json_option
from ganart_zoo.cli.show import BROKEN, emit_json, note
from ganart_zoo.contract.errors import count_of

__all__ = ["command"]


@click.command("check")
@click.argument("target", metavar="DIST|PATH|WHEEL", required=False)
@click.option("--full", is_flag=True, help="Also create every model, and hold it to the conformance kit.")
@click.option("--online", is_flag=True, help="Also ask whether published weights can be reached.")
@json_option
def command(target: str | None, full: bool, online: bool, as_json: bool) -> None:
    """Look for what is wrong with a plugin: an installed distribution, a folder with pyproject.toml, or a wheel.

    Without an argument, the current folder. The entry module and the settings are imported in a process of their own;
    nothing else of the plugin runs without --full. docs/rules.md explains each rule.

    Exit code 0 without findings, 1 with findings, 2 where it could not look.
    """
    if target is None:
        if not Path("pyproject.toml").is_file():
            raise click.UsageError("name a distribution, a folder or a wheel; this folder has no pyproject.toml")
        target = "."
    checked = check(target, full=full, online=online)
    if as_json:
        emit_json(
            {
                "distribution": checked.distribution,
                "version": checked.version,
                "full": full,
                "findings": [finding.data() for finding in checked.findings],
                "notes": list(checked.notes),
            }
        )
    else:
        for finding in checked.findings:
            click.echo(str(finding))
        for said in checked.notes:
            note(said)
        found = count_of(len(checked.findings), "finding") if checked.findings else "no findings"
        note(f"{checked.distribution} {checked.version}: {found}")
    if checked.findings:
        click.get_current_context().exit(BROKEN)
