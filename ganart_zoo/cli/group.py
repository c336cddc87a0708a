"""The group `ganart`: imports a command's module when that command is asked for, and takes in those of plugins."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import update_wrapper
from types import MappingProxyType
from typing import Any

import click

import ganart_zoo
from ganart_zoo.cli.show import note
from ganart_zoo.contract.errors import did_you_mean
from ganart_zoo.registry import Plugin, Zoo

__all__ = ["CORE_COMMANDS", "cli", "pass_zoo", "plugin_commands", "zoo_of"]

CORE_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "stylize": "stylize:stylize",
        "reproduce": "reproduce:reproduce",
        "train": "train:train",
        "sample": "sample:sample",
        "interpolate": "interpolate:interpolate",
        "mix": "mix:mix",
        "project": "project:project",
        "rank": "rank:rank",
        "evaluate": "evaluate:evaluate",
        "export": "export:export",
        "list": "models:list_models",
        "info": "info:info",
        "weights": "weights:weights",
        "doctor": "doctor:doctor",
        "bench": "bench:bench",
    }
)
"""Name -> module of this package and attribute. A module that is not there is no command."""


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        core = [name for name in CORE_COMMANDS if _exists(name)]
        return [*core, *sorted(_commands_of_plugins(ctx))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in CORE_COMMANDS and _exists(cmd_name):
            module, _, attribute = CORE_COMMANDS[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(f"{__package__}.{module}"), attribute)
            return command
        return _commands_of_plugins(ctx).get(cmd_name)

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
    """A zoo of models for machine-made art: find them, and restyle photos with them.

    `ganart COMMAND --help` explains a command. Plugins can bring commands of their own.
    """


def zoo_of(ctx: click.Context) -> Zoo:
    """Return the registry of this invocation, made when first asked for."""
    root = ctx.find_root()
    if root.obj is None:
        with redirect_stdout(sys.stderr):  # a plugin that prints must not spoil the data on standard output
            root.obj = Zoo()
    found: Zoo = root.obj
    return found


def pass_zoo(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the registry as its first argument."""

    def with_zoo(*arguments: Any, **options: Any) -> Any:
        return command(zoo_of(click.get_current_context()), *arguments, **options)

    return update_wrapper(with_zoo, command)


def plugin_commands(zoo: Zoo) -> dict[str, click.Command]:
    """Ask every plugin for its commands. What fails or clashes is reported to the zoo as a fault."""
    found: dict[str, click.Command] = {}
    for plugin in zoo.plugins:
        for name, command in _commands_of(zoo, plugin).items():
            if name in CORE_COMMANDS:
                clash = f"command {name!r} is one of ganart itself; rename it"
            elif name in found:
                clash = f"command {name!r} is another plugin's already; rename it"
            else:
                found[name] = command
                continue
            zoo.report(plugin.candidate.fault("ganart_cli", clash))
    return found


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
    """The same, once an invocation; new faults are told on standard error."""
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


def _exists(name: str) -> bool:
    module = CORE_COMMANDS[name].partition(":")[0]
    return importlib.util.find_spec(f"{__package__}.{module}") is not None
