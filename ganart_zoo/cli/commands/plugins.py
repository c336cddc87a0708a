"""`ganart plugins`: lists the installed plugins, and disables or enables them for this user."""

from __future__ import annotations

from importlib.metadata import distributions

import click
from packaging.utils import canonicalize_name

from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.options import json_option
from ganart_zoo.cli.show import emit_json, note, table
from ganart_zoo.contract.errors import SettingsError, did_you_mean
from ganart_zoo.contract.hooks import ENTRY_POINT_GROUP
from ganart_zoo.registry import Zoo
from ganart_zoo.registry.disabled import disabled_file, disabled_plugins, set_disabled

__all__ = ["command"]


@click.group("plugins", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the installed plugins; disable and enable them. Alone, it lists.

    A disabled plugin is not imported by any command or by Zoo(). GANART_DISABLE_PLUGINS disables more for one process.
    The models of the plugins that GANART_ISOLATE names run in a process of their own.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_plugins)


@command.command("list")
@json_option
@pass_zoo
def list_plugins(zoo: Zoo, as_json: bool) -> None:
    """List the installed plugins, their state, and how many models and recipes each offers."""
    loaded = {plugin.distribution: plugin for plugin in zoo.plugins}
    faulty = {fault.distribution for fault in zoo.faults}
    denied = set(disabled_plugins())
    rows = []
    for name, version in sorted(_installed().items()):
        plugin = loaded.get(name)
        off = name in zoo.disabled or name in denied
        rows.append(
            {
                "distribution": name,
                "version": version,
                "state": "disabled" if off else "faulty" if name in faulty or plugin is None else "enabled",
                "isolated": None if plugin is None or plugin.isolation is None else str(plugin.isolation),
                "models": len(zoo.list(plugin=name)),
                "recipes": len(zoo.recipes(plugin=name)),
                "import_seconds": None if plugin is None else round(plugin.import_seconds, 4),
            }
        )
    if as_json:
        emit_json(rows)
    elif rows:
        columns = ["distribution", "version", "state", "models", "recipes"]
        columns += ["isolated"] if any(row["isolated"] for row in rows) else []
        table(
            columns,
            [[str(row[column] or "" if column == "isolated" else row[column]) for column in columns] for row in rows],
        )
    else:
        note("no plugin is installed")


@command.command()
@click.argument("distribution", nargs=-1, required=True, metavar="DIST...")
def disable(distribution: tuple[str, ...]) -> None:
    """Disable plugins for this user: they are neither imported nor listed until they are enabled again."""
    known = _installed()
    for name in distribution:
        if canonicalize_name(name) not in known:
            near = did_you_mean(str(canonicalize_name(name)), known) or f"; there are {', '.join(sorted(known))}"
            raise SettingsError(f"no installed plugin is called {name!r}{near}")
    set_disabled(distribution, True)
    note(f"disabled {', '.join(distribution)}, as {disabled_file()} says")


@command.command()
@click.argument("distribution", nargs=-1, required=True, metavar="DIST...")
def enable(distribution: tuple[str, ...]) -> None:
    """Enable plugins that were disabled."""
    listed = disabled_plugins()
    for name in distribution:
        if canonicalize_name(name) not in listed:
            near = did_you_mean(str(canonicalize_name(name)), listed)
            raise SettingsError(f"{name!r} is not disabled{near}")
    set_disabled(distribution, False)
    if still := [name for name in distribution if canonicalize_name(name) in disabled_plugins()]:
        note(f"GANART_DISABLE_PLUGINS disables {', '.join(still)} all the same; unset it")
    else:
        note(f"enabled {', '.join(distribution)}")


def _installed() -> dict[str, str]:
    """Return the version of each installed distribution that has a plugin, by its normalised name."""
    found: dict[str, str] = {}
    for distribution in distributions():
        try:
            if any(point.group == ENTRY_POINT_GROUP for point in distribution.entry_points):
                name = str(canonicalize_name(distribution.metadata["Name"]))
                found.setdefault(name, distribution.version or "0")
        except Exception:  # a damaged dist-info may raise anything; ganart doctor names it
            continue
    return found
