"""`ganart imagine`: pictures of a prompt, proposed by a generator and chosen by critics."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganart_zoo.cli.chosen import Loading, find_model, model_name
from ganart_zoo.cli.executors import Where, answers, executor_options
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork, exit_interrupted
from ganart_zoo.cli.options import (
    class_option,
    loading_options,
    output_option,
    reference_option,
    result_options,
    seed_option,
    settings_flags,
)
from ganart_zoo.cli.settings import parse_used_model
from ganart_zoo.cli.show import emit_json, record_data
from ganart_zoo.contract.errors import GanartError, SettingsError, count_of
from ganart_zoo.registry import Zoo

if TYPE_CHECKING:
    from ganart_zoo.tasks.imagine import Imagined

__all__ = ["command"]

_REFINEMENTS = ("auto", "gradient", "cma", "resample", "none")
_FOR_EACH = "With --prompts, for each prompt."


@click.command("imagine", short_help="Paint what a prompt asks for: propose, score, keep the best.")
@click.argument("prompt", nargs=-1, metavar="[PROMPT]...")
@output_option("A .png, .jpg or .webp file for the best picture; or a folder for all that are kept.")
@click.option(
    "--prompts",
    metavar="FILE",
    help="A text file with one prompt per line. Each gets a folder in OUT; prompts that are done are skipped.",
)
@click.option("-m", "--model", metavar="RUN_OR_MODEL", help="The generator. Default: the one of ganart-latent-flow.")
@click.option(
    "--critic",
    "critics",
    metavar="CRITIC[:WEIGHT]",
    multiple=True,
    help="What scores the pictures: a critic of ganart list, or a run. Can be repeated. Default: those of "
    "ganart-text-critic; none leaves pictures in the order of their seeds.",
)
@click.option(
    "--critic-set",
    "critic_pairs",
    metavar="CRITIC.NAME=VALUE",
    multiple=True,
    help="A setting of a critic, or its weights. Can be repeated.",
)
@reference_option
@click.option("--count", type=int, default=16, show_default=True, help="Number of pictures to propose.")
@click.option("--keep", type=int, help="Number of pictures to keep. Default: 1 for a file, 4 for a folder.")
@seed_option()
@class_option
@click.option(
    "--budget",
    type=int,
    metavar="EVALUATIONS",
    help=f"Pictures to score in all. What is left after the proposals refines the best. {_FOR_EACH}",
)
@click.option("--seconds", type=float, help=f"Stop after about this long. {_FOR_EACH}")
@click.option("--target", type=float, metavar="SCORE", help="Stop at this score.")
@click.option("--patience", type=int, metavar="EVALUATIONS", help="Stop refining after so many without a better score.")
@click.option(
    "--refine",
    type=click.Choice(_REFINEMENTS),
    default="auto",
    show_default=True,
    help="How to refine: by gradient, by CMA-ES, or by resampling near the best.",
)
@click.option("--size", type=int, metavar="PIXELS", help="Side of the saved pictures.")
@click.option("--animate", metavar="FILE", help="A .gif or .mp4 of the best pictures on the way.")
@settings_flags("steps", "guidance", "negative_prompt")
@executor_options
@result_options
@loading_options
@pass_zoo
def command(
    zoo: Zoo,
    prompt: tuple[str, ...],
    prompts: str | None,
    model: str | None,
    critics: tuple[str, ...],
    critic_pairs: tuple[str, ...],
    loading: Loading,
    output: str,
    animate: str | None,
    executor: Where | None,
    workers: int | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    steps: str | None,
    guidance: str | None,
    negative_prompt: str | None,
    **asked: Any,
) -> None:
    """Paint what PROMPT asks for: a generator proposes pictures, critics score them, and the best are kept.

    \b
    ganart imagine "red apple" -o apple.png
    ganart imagine "lion, 3d" --count 64 --keep 8 -o lions/
    ganart imagine "red apple:1" "leaf:0.5" "worm:-1" --budget 200 -o apple.png
    ganart imagine --reference photo.jpg --critic reference --budget 300 -o like.png
    ganart imagine --prompts list.txt -o pictures/ --executor processes

    Several PROMPTs are weighted parts of one prompt. A picture file as OUT gets the best picture; anything else is a
    folder for all that are kept, with a contact sheet. Ctrl-C keeps the best so far and ends with exit code 130.
    """
    if bool(prompt) and prompts is not None:
        raise SettingsError("a PROMPT and --prompts were both given; leave one out")
    if not prompt and prompts is None and not critics and asked["reference"] is None and asked["label"] is None:
        raise SettingsError("nothing says what to paint; give a PROMPT, --prompts, --reference, --class or --critic")
    if prompts is not None and animate is not None:
        raise SettingsError("--animate shows one search, and --prompts makes many; leave one out")
    elsewhere = (executor, workers) != (None, None)
    if elsewhere and prompts is None:
        raise SettingsError("--executor makes the pictures of several prompts at once; give --prompts, or leave it out")
    from ganart_zoo.running.prompts import read_prompt, read_prompts

    texts = None if prompts is None else read_prompts(prompts)
    if prompt:
        read_prompt(prompt)
    generator = find_model(model) if model is not None else _default_generator(zoo)
    flags = {"steps": steps, "guidance": guidance, "negative_prompt": negative_prompt}
    settings = loading.check(zoo, model_name(zoo, generator, "generator"), flags)
    choices = _critics(zoo, critics, critic_pairs)
    with LongWork(quiet, saving="the best so far") as work:
        work.show(f"loading {generator}")
        options = loading.options(settings)
        from ganart_zoo.running.panel import CriticChoice
        from ganart_zoo.tasks.imagine import imagine, imagine_all, plan_all

        common = {
            **asked,
            "model": generator,
            "critics": None if choices is None else [CriticChoice(*choice) for choice in choices],
            "force": force,
            **options,
        }
        work.start(output)
        results: list[tuple[Path, Imagined]] = []
        if texts is None:
            made = imagine(zoo, prompt or None, output, animation=animate, on_step=work.step, **common)
            results.append((Path(output), made))
        elif elsewhere:
            todo = [job for job in plan_all(zoo, texts, output, **common) if not job.done]
            requests = [{**common, "prompt": [job.prompt], "output": job.folder} for job in todo]
            failed: list[GanartError] = []
            for place, answer in answers(zoo, "imagine", requests, work, executor=executor, workers=workers):
                if isinstance(answer, GanartError):
                    failed.append(answer)
                    continue
                todo[place].keep(answer)
                results.append((todo[place].folder, answer))
            if failed:
                raise failed[0]
        else:
            for folder, result in imagine_all(zoo, texts, output, on_step=work.step, **common):
                if result is not None:
                    results.append((folder, result))
    if as_json:
        described = [_described(folder, result) for folder, result in results]
        emit_json(described if texts is not None else described[0])
    elif not quiet:
        for folder, result in results:
            _show(folder, result)
        if texts is not None and (skipped := len(texts) - len(results)) and not any(r.stopped for _, r in results):
            click.echo(f"{skipped} of {len(texts)} prompts were done already")
    if work.interrupted or any(result.stopped for _, result in results):
        exit_interrupted("stopped; the best pictures so far are saved")


def _default_generator(zoo: Zoo) -> str:
    from ganart_zoo.running.defaults import default_generator

    return default_generator(zoo)


def _critics(
    zoo: Zoo, critics: tuple[str, ...], pairs: tuple[str, ...]
) -> list[tuple[str | Path, float, dict[str, Any]]] | None:
    """Return model, weight and settings of each critic; None for the default ones.

    Raises:
        SettingsError: A critic does not exist, is not one, or a setting does not fit.
    """
    if not critics:
        if pairs:
            raise SettingsError("--critic-set needs the --critic that it sets; name it")
        return None
    if critics == ("none",):
        return []
    settings: dict[str, list[str]] = {}
    named = [_weighted(text) for text in critics]
    for pair in pairs:
        owner, dot, rest = pair.partition(".")
        if not dot or owner not in [name for name, _ in named]:
            names = ", ".join(name for name, _ in named)
            raise SettingsError(f"--critic-set {pair!r}: expected CRITIC.NAME=VALUE with one of the critics {names}")
        settings.setdefault(owner, []).append(rest)
    choices: list[tuple[str | Path, float, dict[str, Any]]] = []
    for name, weight in named:
        model = find_model(name)
        entry = zoo.entry(model_name(zoo, model, "critic"))
        if entry.spec.kind != "critic":
            raise SettingsError(
                f"{entry.canonical} is a {entry.spec.kind}, expected a critic; see ganart list --kind critic"
            )
        parsed = parse_used_model(zoo, entry.canonical, settings.get(name, []), flag="--critic-set")
        parsed.pop("model", None)
        choices.append((model, weight, parsed))
    return choices


def _weighted(text: str) -> tuple[str, float]:
    name, colon, weight = text.rpartition(":")
    if not colon or not name:
        return text, 1.0
    try:
        return name, float(weight)
    except ValueError:
        return text, 1.0


def _show(target: Path, result: Imagined) -> None:
    for one in result.results:
        if one.path is not None:
            score = f"{one.score:.4g}\t" if result.critics else ""
            click.echo(f"{score}{one.path}", file=sys.stdout)
    click.echo(f"{target}  {count_of(result.evaluations, 'picture')} tried  {result.seconds:.1f} s", file=sys.stdout)


def _described(target: Path, result: Imagined) -> dict[str, Any]:
    return {
        "output": str(target),
        "pictures": [
            {
                "path": None if one.path is None else str(one.path),
                "score": one.score if result.critics else None,
                "votes": dict(one.votes),
                "seed": one.seed,
                "refined": one.refined,
                "record": record_data(one.record),
            }
            for one in result.results
        ],
        "evaluations": result.evaluations,
        "critics": list(result.critics),
        "refinement": result.refinement,
        "stopped": result.stopped,
        "seconds": result.seconds,
        "sheet": None if result.sheet is None else str(result.sheet),
    }
