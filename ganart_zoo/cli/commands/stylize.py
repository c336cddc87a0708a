"""`ganart stylize`: restyles one photo, a folder of them, or a clip, or shows photos in many styles."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganart_zoo.cli.chosen import Loading, find_model, model_name
from ganart_zoo.cli.clips import clip_options, clip_source, report_clip, restyle_clip
from ganart_zoo.cli.executors import Where, answers, executor_options
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork, exit_interrupted
from ganart_zoo.cli.options import (
    depth_option,
    loading_options,
    max_memory_option,
    max_pixels_option,
    output_option,
    result_options,
    settings_flags,
)
from ganart_zoo.cli.photos import (
    finish,
    gathered,
    limits_of,
    long_side_of,
    long_side_option,
    run_elsewhere,
    run_jobs,
    weighted,
)
from ganart_zoo.cli.show import emit_json
from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.registry import Entry, Zoo
from ganart_zoo.running.processes import launched

if TYPE_CHECKING:
    from ganart_zoo.running.stylists import StyleInput, Stylizer

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
@output_option("A picture: .png, .jpg, .webp, .tif, .avif or .heic; or a folder; or '-' for a PNG on standard output.")
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
@click.option(
    "--contact-sheet",
    "sheet",
    is_flag=True,
    help="Save one picture that shows the photos in each --style by itself, or in all styles the model has learned.",
)
@clip_options
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the noise, the same for all photos.")
@max_memory_option
@max_pixels_option
@depth_option
@executor_options
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
    sheet: bool,
    smooth: float,
    fps: float | None,
    seed: int,
    max_memory: str | None,
    max_pixels: int | None,
    depth: str,
    executor: Where | None,
    workers: int | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Restyle photos: CONTENT is a picture, a folder of them, a clip, or '-' for a picture on standard input.

    \b
    ganart stylize photo.jpg --style painting.jpg -o out.png
    ganart stylize photo.jpg --style a.jpg:2 --style b.jpg:1 --size 768 -o out.png
    ganart stylize holiday/ --style painting.jpg -o restyled/
    ganart stylize photo.jpg -m multistyle --contact-sheet -o all.jpg
    ganart stylize - --style painting.jpg -o - < photo.jpg > out.png
    ganart stylize clip.mp4 -m multistyle --style mosaic -o out.mp4
    ganart stylize holiday/ --style painting.jpg -o restyled/ --executor processes
    torchrun --nproc-per-node 2 -m ganart_zoo stylize holiday/ --style painting.jpg -o restyled/

    A picture that exists already, made of the same inputs with the same settings, is skipped; --force makes it again.
    One that ganart made otherwise is replaced. A file that ganart did not make is left alone, unless --force.

    Every picture carries the record of how it was made; ganart reproduce makes it again. Ctrl-C saves the best picture
    so far and ends with exit code 130; a second Ctrl-C aborts at once.
    """
    chosen = find_model(model)
    entry = zoo.entry(model_name(zoo, chosen, "style_transfer"))
    settings = loading.check(zoo, entry.canonical, flags)
    long_side = long_side_of(size)
    piped = _is_piped(contents, output, as_json)
    if sheet and (piped or regions or init):
        raise SettingsError("--contact-sheet goes with neither '-' nor --region nor --init; leave one of them out")
    clip = None if sheet or piped else clip_source(contents, output)
    team = launched()
    if team.count > 1 and (sheet or piped):
        raise SettingsError("--contact-sheet and '-' are work for one process; start it without a launcher")
    elsewhere = (executor, workers) != (None, None)
    if elsewhere and (sheet or piped or clip is not None or team.count > 1):
        raise SettingsError("--executor is for photos, without --contact-sheet, '-' or a launcher; leave it out")

    with LongWork(quiet or not team.is_first) as work:
        work.show(f"loading {zoo.display_name(entry)}")
        options = loading.options(settings)
        limits = limits_of(max_memory, max_pixels, depth)
        from ganart_zoo.running.batch import plan
        from ganart_zoo.running.stylists import Stylizer

        style_inputs = _styles(entry, styles, regions)
        if limits and sheet:
            raise SettingsError("--contact-sheet takes none of --max-memory, --max-pixels and --depth; leave them out")
        if clip is not None and set(limits) - {"max_memory"}:
            raise SettingsError("a clip takes neither --max-pixels nor --depth; leave them out")
        if sheet:
            common = {"model": chosen, "seed": seed, "size": long_side, "force": force, **options}
            saved = _contact_sheet(zoo, contents, style_inputs, output, work, common)
        elif clip is not None:
            from ganart_zoo.tasks.clip import ClipStylizer

            animator = ClipStylizer(
                zoo, chosen, style_inputs, init=init, seed=seed, size=long_side, **limits, **options
            )
            restyled = restyle_clip(animator, clip, output, work, smooth=smooth, fps=fps, force=force, team=team)
        else:
            jobs = () if piped else plan(contents, output)
            stylizer = Stylizer(zoo, chosen, style_inputs, init=init, seed=seed, size=long_side, **limits, **options)
            if piped:
                _pipe(stylizer, contents[0], output, work, force=force)
            elif elsewhere:
                others: list[dict[str, Any]] | None = []
                asked = {"model": chosen, "styles": style_inputs, "init": init, "seed": seed, "size": long_side}
                outcomes = run_elsewhere(
                    stylizer,
                    jobs,
                    work,
                    lambda requests: answers(zoo, "stylize", requests, work, executor=executor, workers=workers),
                    {**asked, **limits, **options},
                    force=force,
                    silent=quiet or as_json,
                )
            else:
                mine = team.share(jobs)
                outcomes = run_jobs(stylizer, mine, work, force=force, silent=quiet or as_json)
                others = gathered(team, outcomes, work)
    if sheet:
        if not saved:
            exit_interrupted("stopped; no sheet was saved")
        if as_json:
            emit_json({"sheet": output})
        elif not quiet:
            click.echo(output, file=sys.stdout)
    elif clip is not None:
        if team.is_first:
            report_clip(restyled, as_json=as_json, quiet=quiet)
        if restyled.stopped:
            exit_interrupted(None)
    elif piped:
        if work.interrupted:
            exit_interrupted(None)
    elif others is not None:
        finish(len(jobs), outcomes, as_json, work.interrupted, others)
    elif work.interrupted:
        exit_interrupted(None)


def _contact_sheet(
    zoo: Zoo,
    contents: Sequence[str],
    styles: Sequence[StyleInput],
    output: str,
    work: LongWork,
    how: Mapping[str, Any],
) -> bool:
    """Save the sheet; return whether it was, and not stopped."""
    from ganart_zoo.running.outputs import pictures_in
    from ganart_zoo.tasks.stylize import contact_sheet

    photos = [
        photo for each in contents for photo in (pictures_in(Path(each)) if Path(each).is_dir() else [Path(each)])
    ]
    work.start("contact sheet")
    return contact_sheet(zoo, photos, styles, output, on_step=work.step, **how) is not None


def _is_piped(contents: Sequence[str], output: str, as_json: bool) -> bool:
    """Return whether a picture comes from standard input or goes to standard output.

    Raises:
        SettingsError: More goes there than one picture, or it is a terminal.
    """
    if "-" not in (*contents, output):
        return False
    if len(contents) > 1 or Path(contents[0]).is_dir():
        raise SettingsError("'-' stands for one picture; give one CONTENT, and one OUT")
    if output == "-" and as_json:
        raise SettingsError("-o - and --json both write to standard output; leave one out")
    for stream, name, used in ((sys.stdin, "input", "-" in contents), (sys.stdout, "output", output == "-")):
        if used and stream is not None and stream.isatty():
            raise SettingsError(f"standard {name} is a terminal; '-' expects a file or a pipe there")
    return True


def _pipe(stylizer: Stylizer, content: str, output: str, work: LongWork, *, force: bool) -> None:
    """Restyle one picture that comes from standard input, or goes to standard output, or both."""
    from ganart_zoo.imaging.images import encode
    from ganart_zoo.running.outputs import check_pictures

    target = None if output == "-" else Path(output)
    if target is not None:
        check_pictures([target], force=force)
    work.start("standard input" if content == "-" else content)
    made = stylizer(sys.stdin.buffer.read() if content == "-" else Path(content), target, on_step=work.step)
    if target is None:
        try:
            sys.stdout.buffer.write(encode(made.images, "png", record=made.record, depth=stylizer.depth))
            sys.stdout.buffer.flush()
        except OSError as error:
            raise ImageError(f"standard output: not written: {error.strerror or error}") from None


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
