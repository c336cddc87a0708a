"""`ganart evaluate`: measures how near a generator's pictures are to real ones."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from ganart_zoo.cli.chosen import Chosen, ChosenBackbone, find_model
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork, exit_interrupted
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
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.metrics.table import meanings
from ganart_zoo.registry import Zoo

__all__ = ["command"]


@click.command("evaluate", short_help="Measure a generator against real pictures.")
@click.option("--data", metavar="PATH", help="Real pictures, as ganart train takes them.")
@click.option(
    "--prompts",
    metavar="FILE",
    help="Measure prompt accuracy in place of distances: a text file with one prompt per line.",
)
@click.option(
    "--critic",
    metavar="RUN_OR_CRITIC",
    default="ganart-text-critic/text-critic-report",
    show_default=True,
    help="The critic that matches pictures with prompts, for --prompts.",
)
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
    data: str | None,
    prompts: str | None,
    critic: str,
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
    ganart evaluate latent_flow --prompts list.txt

    Fréchet and kernel distance, precision and recall, density and coverage, diversity, perceptual path length. The
    result says on which features, at which size and of how many pictures it was computed; compare like with like.

    With --prompts, each prompt is painted once, and the critic ranks it among 99 others for its picture.
    """
    if (data is None) == (prompts is None):
        raise SettingsError("give --data to compare with real pictures, or --prompts to measure prompt accuracy")
    if prompts is not None:
        _prompt_accuracy(zoo, chosen, prompts, critic, seed, quiet, as_json, flags)
        return
    assert data is not None
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


def _prompt_accuracy(
    zoo: Zoo,
    chosen: Chosen,
    prompts: str,
    critic: str,
    seed: int,
    quiet: bool,
    as_json: bool,
    flags: Mapping[str, str | None],
) -> None:
    """Measure how often the critic matches a picture with its own prompt, and print the figures."""
    from ganart_zoo.running.prompts import read_prompts

    texts = read_prompts(prompts)
    with LongWork(quiet, saving="the figures so far") as work:
        generator = chosen.load(zoo, flags, work)
        from ganart_zoo.tasks.prompt_accuracy import prompt_accuracy

        work.start(f"evaluating {chosen.model}")
        found = prompt_accuracy(
            generator, find_model(critic), texts, seed=seed, fetch=chosen.loading.fetch, on_step=work.step
        )
    if as_json:
        emit_json(found.to_json())
    else:
        values = found.metrics
        low, high = values["r_precision_low"], values["r_precision_high"]
        said = [
            [
                "r_precision",
                f"share of pictures whose own prompt scores highest; 95 % interval {low:.3f} to {high:.3f}",
            ],
            ["within_five", "share of pictures whose own prompt is among the five that score highest"],
            ["mean_rank", "mean rank of a picture's own prompt; 1 is best"],
            ["chance", "what a critic that cannot read reaches"],
        ]
        table(["metric", "value", "what"], [[name, f"{values[name]:.4g}", what] for name, what in said])
        about = found.about
        click.echo(
            f"{about['prompts']} prompts, each among {about['among']}; {critic}; seed {seed}; {found.seconds:.1f} s",
            file=sys.stdout,
        )
    if found.stopped:
        exit_interrupted("stopped; the figures are of the prompts so far")
