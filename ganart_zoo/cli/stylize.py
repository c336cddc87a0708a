"""`ganart stylize`: restyles photos, one or a folder of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.interrupt import Interrupt
from ganart_zoo.cli.progress import progress
from ganart_zoo.cli.settings import option_flags, parse_settings, set_option
from ganart_zoo.cli.show import BROKEN, INTERRUPTED, emit_json, json_option, note
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry import Entry, Zoo

if TYPE_CHECKING:
    from ganart_zoo.contract.events import StepEvent
    from ganart_zoo.tasks.batch import Job, Outcome
    from ganart_zoo.tasks.stylize import StyleInput

__all__ = ["stylize"]

_DTYPES = ("float32", "bfloat16", "float16", "float64")


@click.command(short_help="Restyle photos.")
@click.argument("contents", metavar="CONTENT...", nargs=-1, required=True)
@click.option(
    "-s",
    "--style",
    "styles",
    metavar="STYLE[:WEIGHT]",
    multiple=True,
    help="A picture, or the name of a style the model has learned. Repeat to blend; weights are shares.",
)
@click.option("-o", "--output", required=True, metavar="OUT", help="A .png, .jpg or .webp file; or a folder.")
@click.option("-m", "--model", default="ganart-gatys/gatys", show_default=True, help="A style_transfer of ganart list.")
@click.option(
    "--size",
    default="512",
    show_default=True,
    metavar="PIXELS|full",
    help="Long side of the result. A larger photo is scaled down; a smaller one is never scaled up.",
)
@option_flags("steps", "alpha", "preserve_colour", "strength")
@click.option("--init", metavar="PICTURE", help="Start from this picture.")
@click.option(
    "--region",
    "regions",
    metavar="MASK[:STYLE_MASK]",
    multiple=True,
    help="Where on the photo the style goes (white), and from where in the style picture it is taken. The first "
    "belongs to the first --style, and so on; '-' for everywhere.",
)
@set_option
@click.option("--seed", type=int, default=0, show_default=True, help="Of all noise.")
@click.option("--weights", default="default", show_default=True, help="The model's: a variant, file, folder or hub:….")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--dtype", type=click.Choice(_DTYPES), help="Compute type; default: float32.")
@click.option("--fetch", is_flag=True, help="Download weights that are missing.")
@click.option("--force", is_flag=True, help="Make again what is done; replace files that ganart did not make.")
@click.option("-q", "--quiet", is_flag=True, help="Tell of nothing but errors.")
@json_option
@pass_zoo
def stylize(
    zoo: Zoo,
    contents: tuple[str, ...],
    styles: tuple[str, ...],
    output: str,
    model: str,
    size: str,
    init: str | None,
    regions: tuple[str, ...],
    pairs: tuple[str, ...],
    seed: int,
    weights: str,
    device: str,
    dtype: str | None,
    fetch: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Restyle photos: CONTENT is a picture or a folder of them.

    \b
    ganart stylize photo.jpg --style painting.jpg -o out.png
    ganart stylize photo.jpg --style a.jpg:2 --style b.jpg:1 --size 768 -o out.png
    ganart stylize holiday/ --style painting.jpg -o restyled/

    A picture that is there already, made of the same inputs with the same settings, is skipped. One that ganart made
    otherwise is replaced. A file that ganart did not make is left alone, unless --force.

    Every picture carries the record of its making; ganart reproduce makes it again. Ctrl-C saves the best picture so
    far and ends with exit code 130; a second Ctrl-C aborts at once.
    """
    # All that can be wrong with the command line is told before torch is loaded, which takes a second or two.
    entry = zoo.entry(model)
    settings = parse_settings(zoo, model, pairs, flags)
    zoo.options(model, **zoo.settings(model).sort(settings)[1])
    long_side = _size(size)

    with progress(quiet) as shown:
        shown.begin(f"loading {zoo.display_name(entry)}")
        import torch

        from ganart_zoo import native
        from ganart_zoo.tasks.batch import plan, stylize_all
        from ganart_zoo.tasks.stylize import Stylizer

        native.tune_allocator()
        jobs = plan(contents, output)
        stylizer = Stylizer(
            zoo,
            model,
            _styles(entry, styles, regions),
            settings=settings,
            init=init,
            seed=seed,
            size=long_side,
            weights=weights,
            device=device,
            dtype=None if dtype is None else getattr(torch, dtype),
            fetch=fetch,
        )
        outcomes: list[Outcome] = []
        with Interrupt() as interrupt:

            def on_start(job: Job) -> None:
                number = f"{jobs.index(job) + 1}/{len(jobs)} " if len(jobs) > 1 else ""
                shown.begin(f"{number}{job.content.name}")

            def on_step(event: StepEvent) -> bool | None:
                shown.step(event)
                return False if interrupt.asked else None

            for outcome in stylize_all(
                stylizer, jobs, force=force, on_start=on_start, on_step=on_step, stop=lambda: interrupt.asked
            ):
                outcomes.append(outcome)
                if not (quiet or as_json):
                    _tell(outcome)
    _finish(len(jobs), outcomes, as_json, interrupt.asked)


def _size(text: str) -> int | None:
    if text == "full":
        return None
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"--size is {text!r}, expected a number of pixels or 'full'") from None


def _styles(entry: Entry, styles: Sequence[str], regions: Sequence[str]) -> list[StyleInput]:
    if len(regions) > len(styles):
        raise SettingsError(f"{len(regions)} --region for {len(styles)} --style; each region belongs to a style")
    pairs = [_region(text) for text in regions] + [(None, None)] * (len(styles) - len(regions))
    return [_style(entry, text, *pair) for text, pair in zip(styles, pairs, strict=True)]


def _style(entry: Entry, text: str, region: str | None, source_region: str | None) -> StyleInput:
    from ganart_zoo.tasks.stylize import StyleInput

    name, weight = text, 1.0
    head, colon, tail = text.rpartition(":")
    if colon and head and not Path(text).exists():
        with suppress(ValueError):  # the colon may be part of a file's name
            name, weight = head, float(tail)
    can = entry.spec.capabilities
    looks_like_file = Path(name).exists() or Path(name).suffix or len(Path(name).parts) > 1
    if "named_styles" in can and not ("image_styles" in can and looks_like_file):
        return StyleInput(name=name, weight=weight, region=region, source_region=source_region)
    return StyleInput(image=name, weight=weight, region=region, source_region=source_region)


def _region(text: str) -> tuple[str | None, str | None]:
    head, colon, tail = text.rpartition(":")
    mask, source = (head, tail) if colon and not Path(text).exists() else (text, "-")
    return (None if mask == "-" else mask, None if source == "-" else source)


def _tell(outcome: Outcome) -> None:
    # file=, for without it click goes around the progress bar, and through it.
    output = outcome.job.output
    if outcome.made is not None:
        height, width = outcome.made.images.shape[-2:]
        stopped_at = outcome.made.record.request["stopped_at"]
        early = f"  stopped at step {stopped_at}: the best picture so far" if outcome.status == "stopped" else ""
        click.echo(f"{output}  {width}×{height}  {outcome.made.seconds:.1f} s{early}", file=sys.stdout)
    elif outcome.status == "skipped":
        click.echo(f"{output}  done already", file=sys.stdout)


def _finish(jobs: int, outcomes: Sequence[Outcome], as_json: bool, interrupted: bool) -> None:
    if as_json:
        emit_json({"results": [_as_json(outcome) for outcome in outcomes]})
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    if interrupted:
        if len(outcomes) < jobs:
            note(f"stopped; {jobs - len(outcomes)} of {jobs} not begun, and the same command goes on with them")
        click.get_current_context().exit(INTERRUPTED)
    if failed and jobs == 1:
        raise failed[0]
    if failed:
        note(f"{len(failed)} of {jobs} failed:")
        for error in failed:
            note(str(error))
        click.get_current_context().exit(BROKEN)


def _as_json(outcome: Outcome) -> dict[str, Any]:
    made = outcome.made
    return {
        "content": str(outcome.job.content),
        "output": str(outcome.job.output),
        "status": outcome.status,
        "seconds": None if made is None else made.seconds,
        "error": None if outcome.error is None else str(outcome.error),
        "record": None if made is None else json.loads(made.record.to_text()),
    }
