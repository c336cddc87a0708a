"""`ganart project`: the latent of a given picture."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from ganart_zoo.cli.backbones import ChosenBackbone, backbone_options
from ganart_zoo.cli.generators import Chosen, generator_options, prompt_option
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.interrupt import Interrupt
from ganart_zoo.cli.progress import progress
from ganart_zoo.cli.settings import option_flags
from ganart_zoo.cli.show import INTERRUPTED, emit_json, json_option, note
from ganart_zoo.registry import Zoo

if TYPE_CHECKING:
    from ganart_zoo.contract.events import StepEvent
    from ganart_zoo.tasks.project import ProjectionSpace

__all__ = ["project"]


@click.command(short_help="Find the latent of a picture.")
@click.option("--space", type=click.Choice(["z", "w", "w+"]), help="Default: w where the model has styles, else z.")
@click.option("--iterations", type=int, default=300, show_default=True, help="Steps of the search.")
@click.option("--rate", type=float, default=0.05, show_default=True, help="How far a step goes.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first of the starts.")
@click.option("--class", "label", metavar="CLASS", help="Number or name. Default: the first, where there are classes.")
@backbone_options
@prompt_option
@option_flags("truncation")
@click.option("-o", "--output", required=True, metavar="OUT", help="A .png, .jpg or .webp file.")
@click.option("--force", is_flag=True, help="Replace files that ganart did not make.")
@click.option("-q", "--quiet", is_flag=True, help="Tell of nothing but errors.")
@json_option
@generator_options
@click.argument("picture")
@pass_zoo
def project(
    zoo: Zoo,
    chosen: Chosen,
    picture: str,
    space: ProjectionSpace | None,
    iterations: int,
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
    """Find the latent whose picture is nearest to PICTURE: RUN_OR_MODEL is a run's folder, or a name.

    \b
    ganart project runs/styles portrait.png --space w+ -o found.png

    The picture found is saved, and beside it the latent, found.safetensors. Ctrl-C saves the best so far and ends with
    exit code 130.
    """
    settings, looked = chosen.check(zoo, flags), backbone.check(zoo)
    with progress(quiet) as shown:
        shown.begin(f"loading {chosen.model}")
        generator = chosen.load(zoo, settings)
        from ganart_zoo.tasks.project import project as run

        with Interrupt() as interrupt:
            shown.begin(f"looking for {picture}")

            def on_step(event: StepEvent) -> bool | None:
                shown.step(event)
                return False if interrupt.asked else None

            found = run(
                generator,
                picture,
                output,
                space=space,
                steps=iterations,
                rate=rate,
                seed=seed,
                label=label,
                prompt=prompt,
                backbone=looked,
                side=side,
                fetch=chosen.fetch,
                force=force,
                on_step=on_step,
            )
    if as_json:
        emit_json(
            {
                "path": str(found.path),
                "loss": found.loss,
                "steps": found.steps,
                "stopped": found.stopped,
                "seconds": found.seconds,
                "record": json.loads(found.record.to_text()),
            }
        )
    elif not quiet:
        click.echo(f"{output}  loss {found.loss:.4g}  {found.steps} steps  {found.seconds:.1f} s", file=sys.stdout)
    if found.stopped:
        note(f"stopped at step {found.steps}; the best picture so far is saved")
        click.get_current_context().exit(INTERRUPTED)
