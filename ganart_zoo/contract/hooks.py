"""The hooks that a plugin module may implement. Torch-free.

A plugin is a distribution with one entry point in the group `ganart_zoo.plugins`, naming a torch-free module:

    [project]
    dependencies = ["ganart-zoo>=0.1,<0.2"]      # the API range, checked before the module is imported
    [project.entry-points."ganart_zoo.plugins"]
    mine = "ganart_mine"

Every hook is optional. Releases only add arguments to hooks, and an implementation receives those that it names. A
hook that raises disables only its own plugin. A function marked `@hookimpl` whose name is not listed below is a fault,
because it would never be called.
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
    """Return or yield the models this plugin offers. Called once for each `Zoo`; import nothing heavy here."""


@_hookspec
def ganart_recipes() -> Iterable[RecipeSpec]:  # type: ignore[empty-body]
    """Return or yield the ways of training this plugin offers. Called once per `Zoo`; import nothing heavy here."""


@_hookspec
def ganart_cli(group: click.Group) -> None:
    """Add commands to the `ganart` group. They receive the `Zoo` as `ctx.obj` and cannot replace a core command.

    Called only when the command line shows its help or is given a command that the core does not have.

    Args:
        group: A click group holding only this plugin's commands; the core merges it.
    """


@_hookspec
def ganart_run_event(event: RunEvent) -> None:
    """Receive an event of a task: started, saved, finished, stopped or failed.

    A listener that raises is logged once and then no longer called.

    Args:
        event: What happened.
    """
