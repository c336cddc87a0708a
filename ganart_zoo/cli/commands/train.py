"""`ganart train`: a generator against a critic, on pictures."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.long_work import LongWork, exit_interrupted
from ganart_zoo.cli.options import fetch_option, json_option, output_option, quiet_option, steps_option
from ganart_zoo.cli.settings import parse_used_model, typed_value
from ganart_zoo.cli.show import emit_json, note, table
from ganart_zoo.contract.errors import SettingsError, did_you_mean
from ganart_zoo.registry import Zoo
from ganart_zoo.registry.runs import read_settings

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["command"]

_NETWORKS = ("generator", "critic")
_PLAIN: dict[str, type] = {"data": str, "size": int, "crop": str, "flip": bool, "conditions": list}
"""What a configuration file may say beside its tables."""


def _list_settings(ctx: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if not asked:
        return
    from ganart_zoo.training.gan.config import TrainConfig

    table(("setting", "default", "what it is"), list(_rows(TrainConfig, "training")))
    ctx.exit()


def _rows(group: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in group.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            for below, _, about in _rows(type(field.default), f"{prefix}.{name}"):
                default = getattr(field.default, below.rpartition(".")[2])
                yield below, json.dumps(default), f"{field.description} {about}"
        else:
            yield f"{prefix}.{name}", json.dumps(field.default), field.description or ""


@click.command("train", short_help="Train a generator against a critic.")
@click.option("--generator", metavar="MODEL", help="A trainable generator of ganart list.")
@click.option("--critic", metavar="MODEL", help="A trainable critic.")
@click.option("--data", metavar="PATH", help="A folder of pictures, an .npz file, or .tar shards (a{0..9}.tar).")
@click.option("--size", type=int, metavar="PIXELS", help="Side of the pictures.")
@click.option("--crop", type=click.Choice(("centre", "random", "stretch", "pad")), help="How pictures become square.")
@click.option("--flip/--no-flip", default=None, help="Mirror every other picture, left to right.")
@click.option(
    "--conditions", metavar="NAMES", help="labels, prompt, both with a comma, or none; default: all there are."
)
@steps_option()
@click.option("--batch", type=int, help="Pictures a step, over all processes together.")
@click.option("--seed", type=int, help="Of everything random.")
@click.option(
    "--metric",
    type=click.Choice(("frechet", "kernel", "none")),
    help="Measure every training.evaluate_every steps, and keep the best weights. Default: none.",
)
@click.option("--checkpoint-every", type=int, metavar="STEPS", help="Steps between checkpoints.")
@output_option("The run folder.", metavar="RUN", aliases=("--out",), type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE.toml", help="Settings; flags go before them.")
@click.option(
    "--set",
    "pairs",
    metavar="PART.NAME=VALUE",
    multiple=True,
    help="A setting of the generator, the critic or the training: --set training.loss=hinge. Repeatable.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --output, exactly where its last checkpoint is.")
@click.option("--allow-changes", is_flag=True, help="Resume although settings differ from those it was begun with.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@fetch_option
@quiet_option
@click.option(
    "--help-training",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_settings,
    help="List the settings of the training and exit.",
)
@json_option
@pass_zoo
def command(
    zoo: Zoo,
    generator: str | None,
    critic: str | None,
    data: str | None,
    size: int | None,
    crop: str | None,
    flip: bool | None,
    conditions: str | None,
    steps: int | None,
    batch: int | None,
    seed: int | None,
    metric: str | None,
    checkpoint_every: int | None,
    output: Path,
    config: Path | None,
    pairs: tuple[str, ...],
    resume: bool,
    allow_changes: bool,
    device: str,
    fetch: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train a generator against a critic. The run folder is then itself a model, for ganart sample and others.

    \b
    ganart train --generator M --critic M --data pictures/ --size 32 --steps 5000 -o runs/first
    ganart train --config first.toml -o runs/first --set training.r1.weight=2
    ganart train -o runs/first --resume
    torchrun --nproc-per-node 2 -m ganart_zoo train --config first.toml -o runs/first

    A file of settings has data, size, crop, flip and conditions, and tables [generator] and [critic] (model, weights,
    and the model's own settings) and [training], whose settings ganart train --help-training lists.

    Ctrl-C (or SIGTERM) saves a checkpoint and ends with exit code 130; --resume goes on from there, with the settings
    of the run in --output where no others are given.
    """
    plain = {"data": data, "size": size, "crop": crop, "flip": flip, "conditions": _names(conditions)}
    flags = {"steps": steps, "batch": batch, "seed": seed, "checkpoint_every": checkpoint_every}
    tables = _read(config) if config else {}
    before = read_settings(output) if resume and (output / "config.json").exists() else {}
    chosen = {name: value for name, value in {**before, **tables}.items() if name in _PLAIN} | _given(plain)
    networks = {
        name: _network(zoo, name, tables.get(name, {}), asked, pairs, before.get(name))
        for name, asked in (("generator", generator), ("critic", critic))
    }
    pairs += () if metric is None else (f"training.metric.name={metric}",)
    training = _training({**before.get("training", {}), **tables.get("training", {})}, pairs) | _given(flags)
    if "data" not in chosen:
        raise SettingsError('no data: give --data PATH, or data = "PATH" in the configuration file')
    if chosen["data"] == before.get("data") and "{" not in chosen["data"] and not Path(chosen["data"]).exists():
        raise SettingsError(f"{output} learns from {chosen['data']}, and nothing is there now; give --data PATH")

    from ganart_zoo.training.gan.config import TrainConfig
    from ganart_zoo.training.settings import parse_config

    settings = parse_config(training, TrainConfig)
    first = os.environ.get("RANK", "0") == "0"  # of several processes, one does the talking
    with LongWork(quiet or not first, saving="a checkpoint") as work:
        work.show(f"training {output}")
        from ganart_zoo import native
        from ganart_zoo.tasks.train import train

        native.tune_allocator()
        work.start(f"training {output}")
        trained = train(
            zoo,
            networks["generator"].pop("model"),
            networks["critic"].pop("model"),
            Path(chosen.pop("data")),
            output,
            config=settings,
            generator_settings=networks["generator"],
            critic_settings=networks["critic"],
            device=device,
            fetch=fetch,
            resume=resume,
            allow_changes=allow_changes,
            on_step=work.step,
            **chosen,
        )
    if as_json and first:
        emit_json(
            {
                "run": str(trained.folder),
                "step": trained.step,
                "finished": trained.finished,
                "seconds": trained.seconds,
                "skipped": list(trained.skipped),
            }
        )
    elif first and not trained.new:
        note(f"{output} was finished already, at step {trained.step}; nothing was changed")
    elif first and not quiet:
        skipped = f"  {len(trained.skipped)} pictures skipped, see skipped.txt" if trained.skipped else ""
        click.echo(f"{output}  step {trained.step}  {trained.seconds:.1f} s{skipped}", file=sys.stdout)
    if not trained.finished:
        exit_interrupted(f"stopped at step {trained.step}; --resume goes on from there" if first else None)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [] if text == "none" else [name.strip() for name in text.split(",")]


def _read(path: Path) -> dict[str, Any]:
    """Return what a configuration file says, its names checked."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as TOML: {' '.join(str(error).split())}") from None
    kinds: dict[str, type] = {**_PLAIN, **dict.fromkeys((*_NETWORKS, "training"), dict)}
    for name, value in tables.items():
        if name not in kinds:
            raise SettingsError(f"{path} has an unknown entry {name!r}{did_you_mean(name, kinds)}")
        if not isinstance(value, kinds[name]) or (kinds[name] is int and isinstance(value, bool)):
            wanted = "a table" if kinds[name] is dict else f"of type {kinds[name].__name__}"
            raise SettingsError(f"{path}: {name} is {value!r:.80}, expected it {wanted}")
    return tables


def _network(
    zoo: Zoo,
    part: str,
    table: Mapping[str, Any],
    asked: str | None,
    pairs: Sequence[str],
    before: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the model of one side with its settings; flags go before the file, and that before a resumed run."""
    model = asked or table.get("model")
    if before and zoo.entry(model or before["model"]).canonical == before["model"]:
        model, table = before["model"], {**before, **table}
    if model is None:
        raise SettingsError(f'no {part}: give --{part} MODEL, or [{part}] model = "..." in the configuration file')
    own = [pair.partition(".")[2] for pair in pairs if pair.startswith(f"{part}.")]
    return {**table, **parse_used_model(zoo, model, own)}


def _training(table: Mapping[str, Any], pairs: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the training as plain values, with those of `--set training.NAME=VALUE`."""
    from ganart_zoo.training.gan.config import TrainConfig

    merged = {name: dict(value) if isinstance(value, Mapping) else value for name, value in table.items()}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        part, _, rest = name.strip().partition(".")
        if not equals or part not in (*_NETWORKS, "training") or not rest:
            raise SettingsError(f"--set {pair!r} is not of the form generator.NAME=VALUE, critic.… or training.…")
        if part != "training":
            continue
        *groups, last = rest.replace("-", "_").split(".")
        here, fields = merged, TrainConfig.model_fields
        for group in groups:
            below = getattr(fields[group].annotation, "model_fields", None) if group in fields else None
            if below is None:
                raise SettingsError(f"training has no group {group!r}{did_you_mean(group, fields)}")
            fields = below
            here = here.setdefault(group, {})
            if not isinstance(here, dict):
                raise SettingsError(f"training.{group} is {here!r:.80}, expected a table")
        if last not in fields:
            raise SettingsError(f"training has no setting {rest!r}{did_you_mean(last, fields)}")
        here[last] = typed_value(fields[last], text.strip())
    return merged
