"""`ganart project`: finds the latent of a picture."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ganart_zoo.cli.chosen import Chosen, ChosenBackbone
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork, exit_interrupted
from ganart_zoo.cli.options import (
    PICTURE,
    backbone_options,
    class_option,
    generator_options,
    output_option,
    prompt_option,
    result_options,
    seed_option,
    settings_flags,
    steps_option,
)
from ganart_zoo.cli.show import emit_json, record_data
from ganart_zoo.registry import Zoo

if TYPE_CHECKING:
    from ganart_zoo.tasks.project import ProjectionSpace

__all__ = ["command"]


@click.command("project", short_help="Find the latent of a picture.")
@click.option("--space", type=click.Choice(["z", "w", "w+"]), help="Default: w where the model has styles, else z.")
@steps_option(300, "--iterations")
@click.option("--rate", type=float, default=0.05, show_default=True, help="Learning rate of the search.")
@seed_option()
@class_option
@backbone_options
@prompt_option
@settings_flags("truncation")
@output_option(PICTURE)
@result_options
@generator_options
@click.argument("picture")
@pass_zoo
def command(
    zoo: Zoo,
    chosen: Chosen,
    picture: str,
    space: ProjectionSpace | None,
    steps: int,
    rate: float,
    seed: int,
    label: str | None,
    prompt: str | None,
    backbone: ChosenBackbone,
    side: int | None,
    output: str,
    force: bool,
    quiet: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Find the latent whose picture is nearest to PICTURE: RUN_OR_MODEL is the folder of a training run, or a name.

    \b
    ganart project runs/styles portrait.png --space w+ -o found.png

    The nearest picture is saved, and beside it the latent, found.safetensors. Ctrl-C saves the best so far and ends
    with exit code 130.
    """
    judge = backbone.check(zoo)
    with LongWork(quiet) as work:
        generator = chosen.load(zoo, flags, work)
        from ganart_zoo.tasks.project import project

        work.start(f"projecting {picture}")
        result = project(
            generator,
            picture,
            output,
            space=space,
            steps=steps,
            rate=rate,
            seed=seed,
            label=label,
            prompt=prompt,
            backbone=judge,
            side=side,
            fetch=chosen.loading.fetch,
            force=force,
            on_step=work.step,
        )
    if as_json:
        emit_json(
            {
                "path": str(result.path),
                "loss": result.loss,
                "steps": result.steps,
                "stopped": result.stopped,
                "seconds": result.seconds,
                "record": record_data(result.record),
            }
        )
    elif not quiet:
        click.echo(f"{output}  loss {result.loss:.4g}  {result.steps} steps  {result.seconds:.1f} s", file=sys.stdout)
    if result.stopped:
        exit_interrupted(f"stopped at step {result.steps}; the best picture so far is saved")
