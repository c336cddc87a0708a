"""The group `ganart`: imports the module of a command when it is used, and includes the commands of plugins."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import update_wrapper
from typing import Any

import click

import ganart_zoo
from ganart_zoo.cli import commands
from ganart_zoo.cli.profiling import with_profile
from ganart_zoo.cli.show import note
from ganart_zoo.contract.errors import did_you_mean
from ganart_zoo.registry import Plugin, Zoo

__all__ = ["CORE_COMMANDS", "cli", "pass_zoo", "plugin_commands", "zoo_of"]

# fmt: off
_ORDER = (
    "imagine", "stylize", "dream", "reproduce", "train", "sample", "interpolate", "mix", "project", "rank", "evaluate",
)
# fmt: on
"""Commands that `--help` shows first; the others follow in alphabetical order."""

CORE_COMMANDS: tuple[str, ...] = tuple(
    sorted(
        (info.name for info in pkgutil.iter_modules(commands.__path__)),
        key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name),
    )
)
"""The modules of `commands`, each of which defines `command`."""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*CORE_COMMANDS, *sorted(_commands_of_plugins(ctx))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in CORE_COMMANDS:
            return with_profile(importlib.import_module(f"{commands.__name__}.{cmd_name}").command)
        command = _commands_of_plugins(ctx).get(cmd_name)
        return None if command is None else with_profile(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = did_you_mean(name, self.list_commands(ctx)) or "; ganart --help lists them"
            raise click.UsageError(f"there is no command {name!r}{near}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(ganart_zoo.__version__, prog_name="ganart")
def cli() -> None:
    """A zoo of models for machine-made art: find models, and make pictures with them.

    `ganart COMMAND --help` explains a command. Plugins can add commands.
    """


def zoo_of(ctx: click.Context) -> Zoo:
    """Return the registry of this invocation, created when it is first needed."""
    root = ctx.find_root()
    if root.obj is None:
        with redirect_stdout(sys.stderr):  # a plugin that prints must not write into the data on standard output
            root.obj = Zoo()
    zoo: Zoo = root.obj
    return zoo


def pass_zoo(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the registry as its first argument."""

    def with_zoo(*arguments: Any, **options: Any) -> Any:
        return command(zoo_of(click.get_current_context()), *arguments, **options)

    return update_wrapper(with_zoo, command)


def plugin_commands(zoo: Zoo) -> dict[str, click.Command]:
    """Return the commands of all plugins. A plugin that fails, or a name that clashes, is reported to the zoo."""
    collected: dict[str, click.Command] = {}
    for plugin in zoo.plugins:
        for name, command in _commands_of(zoo, plugin).items():
            if name in CORE_COMMANDS:
                clash = f"command {name!r} is one of ganart itself; rename it"
            elif name in collected:
                clash = f"command {name!r} is another plugin's already; rename it"
            else:
                collected[name] = command
                continue
            zoo.report(plugin.candidate.fault("ganart_cli", clash))
    return collected


def _commands_of(zoo: Zoo, plugin: Plugin) -> dict[str, click.Command]:
    if not plugin.implements("ganart_cli"):
        return {}
    group = click.Group(plugin.name)
    try:
        plugin.hooks.ganart_cli(group=group)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin may parse arguments of its own
        zoo.report(plugin.candidate.fault("ganart_cli", error))
        return {}
    return dict(group.commands)


def _commands_of_plugins(ctx: click.Context) -> dict[str, click.Command]:
    """Return the commands of all plugins, collected once per invocation; new faults go to standard error."""
    root = ctx.find_root()
    key = f"{__name__}.commands"
    if key not in root.meta:
        zoo = zoo_of(ctx)
        before = len(zoo.faults)
        root.meta[key] = plugin_commands(zoo)
        for fault in zoo.faults[before:]:
            note(str(fault))
    commands: dict[str, click.Command] = root.meta[key]
    return commands
