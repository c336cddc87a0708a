"""`ganart stylize`: restyles one photo, or a folder of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganart_zoo.cli.chosen import Loading, find_model, model_name
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork
from ganart_zoo.cli.options import loading_options, output_option, result_options, settings_flags
from ganart_zoo.cli.photos import finish, long_side_of, long_side_option, run_jobs, weighted
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry import Entry, Zoo

if TYPE_CHECKING:
    from ganart_zoo.running.stylists import StyleInput

__all__ = ["command"]


@click.command("stylize", short_help="Restyle photos.")
@click.argument("contents", metavar="CONTENT...", nargs=-1, required=True)
@click.option(
    "-s",
    "--style",
    "styles",
    metavar="STYLE[:WEIGHT]",
    multiple=True,
    help="A picture, or the name of a learned style. Repeat to blend; weights are shares.",
)
@output_option("A .png, .jpg or .webp file; or a folder.")
@click.option(
    "-m",
    "--model",
    default="ganart-gatys/gatys",
    show_default=True,
    help="A style_transfer model of ganart list, or a run.",
)
@long_side_option
@settings_flags("steps", "alpha", "preserve_colour", "strength")
@click.option("--init", metavar="PICTURE", help="Start from this picture.")
@click.option(
    "--region",
    "regions",
    metavar="MASK[:STYLE_MASK]",
    multiple=True,
    help="White where the photo gets the style, and where in the style picture it is taken from. The first --region "
    "belongs to the first --style, and so on; '-' means everywhere.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the noise, the same for all photos.")
@result_options
@loading_options
@pass_zoo
def command(
    zoo: Zoo,
    contents: tuple[str, ...],
    styles: tuple[str, ...],
    output: str,
    model: str,
    size: str,
    init: str | None,
    regions: tuple[str, ...],
    loading: Loading,
    seed: int,
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

    A picture that exists already, made of the same inputs with the same settings, is skipped; --force makes it again.
    One that ganart made otherwise is replaced. A file that ganart did not make is left alone, unless --force.

    Every picture carries the record of how it was made; ganart reproduce makes it again. Ctrl-C saves the best picture
    so far and ends with exit code 130; a second Ctrl-C aborts at once.
    """
    chosen = find_model(model)
    entry = zoo.entry(model_name(zoo, chosen, "style_transfer"))
    settings = loading.check(zoo, entry.canonical, flags)
    long_side = long_side_of(size)

    with LongWork(quiet) as work:
        work.show(f"loading {zoo.display_name(entry)}")
        options = loading.options(settings)
        from ganart_zoo.running.batch import plan
        from ganart_zoo.running.stylists import Stylizer

        jobs = plan(contents, output)
        style_inputs = _styles(entry, styles, regions)
        stylizer = Stylizer(zoo, chosen, style_inputs, init=init, seed=seed, size=long_side, **options)
        outcomes = run_jobs(stylizer, jobs, work, force=force, silent=quiet or as_json)
    finish(len(jobs), outcomes, as_json, work.interrupted)


def _styles(entry: Entry, styles: Sequence[str], regions: Sequence[str]) -> list[StyleInput]:
    if len(regions) > len(styles):
        raise SettingsError(f"{len(regions)} --region for {len(styles)} --style; each region belongs to a style")
    pairs = [_region(text) for text in regions] + [(None, None)] * (len(styles) - len(regions))
    return [_style(entry, text, *pair) for text, pair in zip(styles, pairs, strict=True)]


def _style(entry: Entry, text: str, region: str | None, source_region: str | None) -> StyleInput:
    from ganart_zoo.running.stylists import StyleInput

    name, weight = weighted(text)
    can = entry.spec.capabilities
    looks_like_file = Path(name).exists() or Path(name).suffix or len(Path(name).parts) > 1
    if "named_styles" in can and not ("image_styles" in can and looks_like_file):
        return StyleInput(name=name, weight=weight, region=region, source_region=source_region)
    return StyleInput(image=name, weight=weight, region=region, source_region=source_region)


def _region(text: str) -> tuple[str | None, str | None]:
    head, colon, tail = text.rpartition(":")
    mask, source = (head, tail) if colon and not Path(text).exists() else (text, "-")
    return (None if mask == "-" else mask, None if source == "-" else source)
