"""`ganart rank`: scores pictures with a critic and keeps the best."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ganart_zoo.cli.generators import model_of, named
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.interrupt import Interrupt
from ganart_zoo.cli.progress import progress
from ganart_zoo.cli.settings import parse_settings, set_option
from ganart_zoo.cli.show import BROKEN, INTERRUPTED, emit_json, json_option, note
from ganart_zoo.registry import Zoo

if TYPE_CHECKING:
    from ganart_zoo.contract.events import StepEvent

__all__ = ["rank"]


@click.command(short_help="Score pictures with a critic, and keep the best.")
@click.argument("model", metavar="RUN_OR_CRITIC")
@click.argument("pictures", metavar="PICTURE...", nargs=-1, required=True)
@click.option("-k", "--keep", type=int, help="How many are the best. Default: all.")
@click.option("-o", "--output", metavar="DIR", help="A folder for copies of the best.")
@click.option("--class", "label", metavar="CLASS", help="Number or name: what to judge the pictures as.")
@set_option
@click.option("--weights", default="default", show_default=True, help="The critic's: a variant, file, folder or hub:….")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--fetch", is_flag=True, help="Download weights that are missing.")
@click.option("--force", is_flag=True, help="Replace other pictures in the folder.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@json_option
@pass_zoo
def rank(
    zoo: Zoo,
    model: str,
    pictures: tuple[str, ...],
    keep: int | None,
    output: str | None,
    label: str | None,
    pairs: tuple[str, ...],
    weights: str,
    device: str,
    fetch: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Score pictures with a critic: RUN_OR_CRITIC is the folder of a training run, or a name of ganart list.

    \b
    ganart rank runs/first pictures/ -k 10 -o best/

    The best come first: score, a tab, the file. Exit code 1: some could not be read. Ctrl-C ranks those until then.
    """
    critic = model_of(model)
    settings = parse_settings(zoo, named(critic, "critic"), pairs)
    with progress(quiet) as shown:
        shown.begin(f"ranking with {model}")
        from ganart_zoo import native
        from ganart_zoo.tasks.rank import rank as run

        native.tune_allocator()
        with Interrupt() as interrupt:

            def on_step(event: StepEvent) -> bool | None:
                shown.step(event)
                return False if interrupt.asked else None

            found = run(
                zoo,
                critic,
                pictures,
                keep=keep,
                output=output,
                label=label,
                settings=settings,
                weights=weights,
                device=device,
                fetch=fetch,
                force=force,
                on_step=on_step,
            )
    if as_json:
        emit_json(
            {
                "pictures": [
                    {"path": str(one.path), "score": one.score, "copy": None if one.copy is None else str(one.copy)}
                    for one in found.pictures
                ],
                "failed": [str(error) for error in found.failed],
                "stopped": found.stopped,
                "seconds": found.seconds,
            }
        )
    else:
        for one in found.pictures:
            click.echo(f"{one.score:.5g}\t{one.copy or one.path}", file=sys.stdout)
    for error in found.failed:
        note(str(error))
    if found.stopped:
        note("stopped; the pictures after these are not scored")
        click.get_current_context().exit(INTERRUPTED)
    if found.failed:
        click.get_current_context().exit(BROKEN)
