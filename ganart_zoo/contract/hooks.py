"""The hooks that a plugin module may implement. Torch-free.

A plugin is a distribution with one entry point in the group `ganart_zoo.plugins`, naming a torch-free module:

    [project]
    dependencies = ["ganart-zoo>=0.1,<0.2"]      # the API range, checked before the module is imported
    [project.entry-points."ganart_zoo.plugins"]
    mine = "ganart_mine"

Every hook is optional. Arguments are only ever added, and an implementation takes just those it names. A hook that
raises costs only its own plugin, and a function marked `@hookimpl` whose name is not below is a fault, for it would
never be called.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

from ganart_zoo.contract.events import RunEvent
from ganart_zoo.contract.recipes import RecipeSpec
from ganart_zoo.contract.spec import ModelSpec

if TYPE_CHECKING:
    import click

__all__ = [
    "ENTRY_POINT_GROUP",
    "PROJECT",
    "ganart_cli",
    "ganart_models",
    "ganart_recipes",
    "ganart_run_event",
    "hookimpl",
]

PROJECT = "ganart_zoo"
ENTRY_POINT_GROUP = "ganart_zoo.plugins"

hookimpl = pluggy.HookimplMarker(PROJECT)
_hookspec = pluggy.HookspecMarker(PROJECT)


@_hookspec
def ganart_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Return or yield the models this plugin offers. Called once a `Zoo`; import nothing heavy here."""


@_hookspec
def ganart_recipes() -> Iterable[RecipeSpec]:  # type: ignore[empty-body]
    """Return or yield the ways of training this plugin offers. Called once per `Zoo`; import nothing heavy here."""


@_hookspec
def ganart_cli(group: click.Group) -> None:
    """Add commands to the `ganart` group. They get the `Zoo` as `ctx.obj`, and never replace a command of the core.

    Called only when the command line cannot answer with core commands alone or shows its help.

    Args:
        group: A click group that is empty but for this plugin's own commands; the core merges it.
    """


@_hookspec
def ganart_run_event(event: RunEvent) -> None:
    """Hear of a task's progress: started, saved, finished, stopped, failed. A listener that raises is logged once and
    dropped.

    Args:
        event: What happened.
    """
