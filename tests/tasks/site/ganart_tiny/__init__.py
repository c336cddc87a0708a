"""A plugin of models that take no time: what the tests of tasks and of the command line run."""

from __future__ import annotations

import click

from ganart_zoo import ModelSpec, Use, hookimpl
from ganart_zoo.contract import RunEvent

__version__ = "0.1.0"

EVENTS: list[RunEvent] = []


@hookimpl
def ganart_models() -> list[ModelSpec]:
    """Return a backbone, and style transfers: one with everything, one with names, one without a style, one broken."""

    def transfer(name: str, **more: object) -> ModelSpec:
        factory = f"ganart_tiny.model:{name.title()}"
        return ModelSpec(name=name, kind="style_transfer", summary=f"{name}.", license="MIT", factory=factory, **more)

    return [
        ModelSpec(
            name="pool",
            kind="backbone",
            summary="Means of blocks.",
            license="MIT",
            factory="ganart_tiny.model:Pool",
            config="ganart_tiny.config:PoolConfig",
        ),
        transfer(
            "blend",
            config="ganart_tiny.config:Config",
            options="ganart_tiny.config:Options",
            capabilities={"image_styles", "regions", "init"},
            uses={"backbone": Use("backbone", default="ganart-tiny/pool", summary="Checks the layers.")},
        ),
        transfer("named", capabilities={"named_styles"}),
        transfer("negative", capabilities={"no_style"}),
        transfer("broken", capabilities={"no_style"}),
    ]


@hookimpl
def ganart_run_event(event: RunEvent) -> None:
    """Keep the event."""
    EVENTS.append(event)


@hookimpl
def ganart_cli(group: click.Group) -> None:
    """Add a command, and one that clashes with the core's."""

    @group.command("tiny-count")
    @click.pass_obj
    def count(zoo: object) -> None:
        """Count the models."""
        click.echo(len(zoo.list()))  # type: ignore[attr-defined]

    group.command("list")(lambda: click.echo("shadow"))
