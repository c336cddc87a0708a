"""`ganart evaluate`: measures how near a generator's pictures are to real ones."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ganart_zoo.cli.chosen import Chosen, ChosenBackbone
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork
from ganart_zoo.cli.options import (
    backbone_options,
    generator_options,
    json_option,
    prompt_option,
    quiet_option,
    seed_option,
    settings_flags,
)
from ganart_zoo.cli.show import emit_json, note, table
from ganart_zoo.metrics.table import meanings
from ganart_zoo.registry import Zoo

__all__ = ["command"]


@click.command("evaluate", short_help="Measure a generator against real pictures.")
@click.option("--data", required=True, metavar="PATH", help="Real pictures, as ganart train takes them.")
@click.option(
    "--samples",
    type=int,
    default=5000,
    show_default=True,
    help="Pictures to paint, and the number of real pictures used.",
)
@seed_option()
@backbone_options
@click.option("--layer", help="The backbone's layer. Default: the deepest, not counting the class head.")
@click.option("--crop", metavar="HOW", help="centre, random, stretch or pad. Default: as the run was trained.")
@prompt_option
@settings_flags("truncation")
@quiet_option
@json_option
@generator_options
@pass_zoo
def command(
    zoo: Zoo,
    chosen: Chosen,
    data: str,
    samples: int,
    seed: int,
    prompt: str | None,
    backbone: ChosenBackbone,
    layer: str | None,
    side: int | None,
    crop: str | None,
    quiet: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Measure a generator against real pictures: RUN_OR_MODEL is the folder of a training run, or a name.

    \b
    ganart evaluate runs/first --data pictures.npz --samples 5000 --json

    Fréchet and kernel distance, precision and recall, density and coverage, diversity, perceptual path length. The
    result says on which features, at which size and of how many pictures it was computed; compare like with like.
    """
    judge = backbone.check(zoo)
    with LongWork(quiet) as work:
        generator = chosen.load(zoo, flags, work)
        from ganart_zoo.tasks.evaluate import evaluate

        work.show(f"evaluating {chosen.model}")
        found = evaluate(
            generator,
            Path(data),
            samples=samples,
            seed=seed,
            prompt=prompt,
            backbone=judge,
            layer=layer,
            side=side,
            crop=crop,
            fetch=chosen.loading.fetch,
            on_step=work.step,
        )
    if as_json:
        emit_json(found.to_json())
        return
    said = meanings()
    table(["metric", "value", "what"], [[k, f"{v:.5g}", said[k]] for k, v in found.metrics.items()])
    features = found.about["features"]
    click.echo(
        f"{found.about['samples']} generated, {found.about['reals']} real; {features['backbone']} {features['layer']} "
        f"at {features['side']} px; seed {seed}; {found.seconds:.1f} s",
        file=sys.stdout,
    )
    for line in found.notes:
        note(line)
