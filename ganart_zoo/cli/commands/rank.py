"""`ganart rank`: scores pictures with a critic and keeps the best."""

from __future__ import annotations

import sys

import click

from ganart_zoo.cli.chosen import Loading, find_model, model_name
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork, exit_interrupted
from ganart_zoo.cli.options import loading_options, output_option, reference_option, result_options
from ganart_zoo.cli.show import BROKEN, emit_json, note
from ganart_zoo.registry import Zoo

__all__ = ["command"]


@click.command("rank", short_help="Score pictures with a critic, and keep the best.")
@click.argument("model", metavar="RUN_OR_CRITIC")
@click.argument("pictures", metavar="PICTURE...", nargs=-1, required=True)
@click.option("-k", "--keep", type=int, help="How many to keep. Default: all.")
@output_option("A folder for copies of the best.", metavar="DIR", required=False)
@click.option("--class", "label", metavar="CLASS", help="The class to judge the pictures as, by number or name.")
@click.option(
    "--prompt",
    "prompts",
    metavar="TEXT[:WEIGHT]",
    multiple=True,
    help="What the pictures should show, for critics that take a prompt. Can be repeated, as parts of one prompt.",
)
@reference_option
@result_options
@loading_options
@pass_zoo
def command(
    zoo: Zoo,
    model: str,
    pictures: tuple[str, ...],
    loading: Loading,
    keep: int | None,
    output: str | None,
    label: str | None,
    prompts: tuple[str, ...],
    reference: str | None,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Score pictures with a critic: RUN_OR_CRITIC is the folder of a training run, or a name of ganart list.

    \b
    ganart rank runs/first pictures/ -k 10 -o best/
    ganart rank text-critic pictures/ --prompt "red apple" -k 3
    ganart rank reference pictures/ --reference photo.jpg

    The best come first; each line has the score, a tab, and the file. Exit code 1: some could not be read. Ctrl-C
    ranks the pictures so far.
    """
    critic = find_model(model)
    settings = loading.check(zoo, model_name(zoo, critic, "critic"))
    with LongWork(quiet, saving="the ranking so far") as work:
        work.show(f"loading {model}")
        options = loading.options(settings)
        from ganart_zoo.tasks.rank import rank

        work.start(f"ranking with {model}")
        result = rank(
            zoo,
            critic,
            pictures,
            keep=keep,
            output=output,
            label=label,
            prompt=prompts or None,
            reference=reference,
            force=force,
            on_step=work.step,
            **options,
        )
    if as_json:
        emit_json(
            {
                "pictures": [
                    {"path": str(one.path), "score": one.score, "copy": None if one.copy is None else str(one.copy)}
                    for one in result.pictures
                ],
                "failed": [str(error) for error in result.failed],
                "stopped": result.stopped,
                "seconds": result.seconds,
            }
        )
    else:
        for one in result.pictures:
            click.echo(f"{one.score:.5g}\t{one.copy or one.path}", file=sys.stdout)
    for error in result.failed:
        note(str(error))
    if result.stopped:
        exit_interrupted("stopped; the remaining pictures are not scored")
    if result.failed:
        click.get_current_context().exit(BROKEN)
