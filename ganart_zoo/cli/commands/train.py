"""`ganart train`: trains networks on pictures, by the recipe of a GAN or of any plugin."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganart_zoo.cli.group import pass_zoo, zoo_of
from ganart_zoo.cli.loading_torch import load_torch
from ganart_zoo.cli.long_work import LongWork, exit_interrupted
from ganart_zoo.cli.options import fetch_option, json_option, output_option, quiet_option, steps_option
from ganart_zoo.cli.settings import parse_used_model, typed_value, used_pairs
from ganart_zoo.cli.show import emit_json, note, table
from ganart_zoo.contract.errors import SettingsError, count_of, did_you_mean
from ganart_zoo.metrics.table import TRAINING_METRICS
from ganart_zoo.registry import RecipeEntry, Zoo
from ganart_zoo.registry.runs import read_settings

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["command"]


def _list_settings(ctx: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if not asked:
        return
    zoo = zoo_of(ctx)
    from ganart_zoo.training.plan import chosen_recipe

    recipe = chosen_recipe(zoo, _given({"recipe": ctx.params.get("recipe")}))
    config_class = zoo.recipe_settings(recipe.canonical).config_class
    table(("setting", "default", "what it is"), list(_rows(config_class, "training")))
    ctx.exit()


def _rows(group: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in group.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            for below, _, about in _rows(type(field.default), f"{prefix}.{name}"):
                default = getattr(field.default, below.rpartition(".")[2])
                yield below, json.dumps(default), f"{field.description} {about}"
        else:
            default = "required" if field.is_required() else json.dumps(field.get_default(call_default_factory=True))
            yield f"{prefix}.{name}", default, field.description or ""


@click.command("train", short_help="Train networks on pictures.")
@click.option("--recipe", metavar="NAME", is_eager=True, help="How to train: a recipe of ganart list. Default: gan.")
@click.option("--generator", metavar="MODEL", help="The network in the role of the generator.")
@click.option("--critic", metavar="MODEL", help="The network in the role of the critic.")
@click.option("--network", "networks", metavar="ROLE=MODEL", multiple=True, help="The network in a role. Repeatable.")
@click.option("--data", metavar="PATH", help="A folder of pictures, an .npz file, or .tar shards (a{0..9}.tar).")
@click.option("--size", type=int, metavar="PIXELS", help="Side of the pictures.")
@click.option("--crop", type=click.Choice(("centre", "random", "stretch", "pad")), help="How pictures become square.")
@click.option("--flip/--no-flip", default=None, help="Mirror every other picture, left to right.")
@click.option("--style", "styles", metavar="PICTURE", multiple=True, help="A style to learn. Repeatable.")
@click.option("--style-data", metavar="PATH", help="A folder of style pictures, or an .npz file of them.")
@click.option(
    "--conditions",
    metavar="NAMES",
    help="What the networks are conditioned on: labels, prompt, both with a comma, or none. Default: all there are.",
)
@steps_option()
@click.option("--batch", type=int, help="Pictures per step, over all processes together.")
@click.option("--seed", type=int, help="Seed of everything random.")
@click.option(
    "--metric",
    type=click.Choice((*TRAINING_METRICS, "none")),
    help="Measure every training.evaluate_every steps, and keep the best weights. Default: none.",
)
@click.option("--checkpoint-every", type=int, metavar="STEPS", help="Steps between checkpoints.")
@output_option("The run folder.", metavar="RUN", aliases=("--out",), type=click.Path(path_type=Path))
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE.toml", help="Settings; flags take precedence over them."
)
@click.option(
    "--set",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    help="A setting of the training (loss=hinge, training.loss=hinge) or of a network (generator.width=4). Repeatable.",
)
@click.option("--resume", is_flag=True, help="Continue the run in --output exactly from its last checkpoint.")
@click.option("--allow-changes", is_flag=True, help="Resume although settings differ from those of the run.")
@click.option("--dry-run", is_flag=True, help="Report on the data and the training to come, and write nothing.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@fetch_option
@quiet_option
@click.option(
    "--help-training",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_list_settings,
    help="List the settings of the training, or of --recipe given before, and exit.",
)
@json_option
@pass_zoo
def command(
    zoo: Zoo,
    recipe: str | None,
    generator: str | None,
    critic: str | None,
    networks: tuple[str, ...],
    data: str | None,
    size: int | None,
    crop: str | None,
    flip: bool | None,
    styles: tuple[str, ...],
    style_data: str | None,
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
    dry_run: bool,
    device: str,
    fetch: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train networks on pictures. The run folder is then itself a model, for ganart sample and others.

    \b
    ganart train --generator M --critic M --data pictures/ --size 32 --steps 5000 -o runs/first
    ganart train --recipe NAME --network ROLE=M --data pictures/ --size 64 -o runs/second
    ganart train --config first.toml -o runs/first --set r1.weight=2
    ganart train -o runs/first --resume
    torchrun --nproc-per-node 2 -m ganart_zoo train --config first.toml -o runs/first

    A recipe says what is learned; the default trains a generator against a critic. ganart list shows the recipes, and
    ganart info RECIPE its networks and settings.

    A file of settings has recipe, data, size, crop, flip and conditions, a table for each network (model, weights, and
    the model's own settings) and a table [training] of the settings that ganart train --help-training lists.

    Ctrl-C (or SIGTERM) saves a checkpoint and ends with exit code 130; --resume continues from there. Settings that are
    not given then are those of the run in --output.
    """
    from ganart_zoo.training.plan import chosen_recipe, plan, read_file

    file = read_file(config) if config else {}
    run = read_settings(output) if resume and (output / "config.json").exists() else {}
    plain = {"recipe": recipe, "data": data, "size": size, "crop": crop, "flip": flip, "conditions": _names(conditions)}
    given = _given(plain)
    entry = chosen_recipe(zoo, run, file, given)
    chosen = _named_networks(entry, {"generator": generator, "critic": critic}, networks)
    training = _given({"steps": steps, "batch": batch, "seed": seed, "checkpoint_every": checkpoint_every})
    for name, flag, value in (("style", "--style", list(styles)), ("style_data", "--style-data", style_data)):
        if value:
            training[name] = _for_field(zoo, entry, name, flag, value)
    pairs += () if metric is None else (f"training.metric.name={metric}",)
    given |= _settings(zoo, entry, pairs, chosen, training, (run, file))
    planned = plan(zoo, run=run, file=file, given=given, file_name=str(config))
    if planned.data == run.get("data") and "{" not in planned.data and not Path(planned.data).exists():
        raise SettingsError(f"{output} learns from {planned.data}, and nothing is there now; give --data PATH")

    first = os.environ.get("RANK", "0") == "0"  # of several processes, one does the talking
    with LongWork(quiet or not first, saving="a checkpoint") as work:
        work.show(f"training {output}")
        load_torch()
        from ganart_zoo.tasks.train import prepare

        prepared = prepare(
            zoo,
            planned.recipe.canonical,
            planned.networks,
            Path(planned.data),
            output,
            config=planned.config,
            uses=planned.uses,
            device=device,
            fetch=fetch,
            on_step=work.step,
            **planned.pictures,
        )
        if dry_run:
            report = prepared.dry_run()
        else:
            work.start(f"training {output}")
            trained = prepared.fit(resume=resume, allow_changes=allow_changes)
    if dry_run:
        if as_json and first:
            emit_json(report)
        elif first:
            table(("", ""), [(name.replace("_", " "), _shown(value)) for name, value in report.items()])
        return
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
        skipped = f"  {count_of(len(trained.skipped), 'picture')} skipped, see skipped.txt" if trained.skipped else ""
        click.echo(f"{output}  step {trained.step}  {trained.seconds:.1f} s{skipped}", file=sys.stdout)
    if not trained.finished:
        exit_interrupted(f"stopped at step {trained.step}; --resume goes on from there" if first else None)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [] if text == "none" else [name.strip() for name in text.split(",")]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _for_field(zoo: Zoo, recipe: RecipeEntry, name: str, flag: str, value: Any) -> Any:
    """Return the value that a flag gives a field of the recipe's config, which must have it."""
    if name not in zoo.recipe_settings(recipe.canonical).config_class.model_fields:
        raise SettingsError(f"the recipe {recipe.spec.name} learns no styles; leave out {flag}")
    return value


def _named_networks(recipe: RecipeEntry, roles: Mapping[str, str | None], pairs: Sequence[str]) -> dict[str, str]:
    """Return the model that the command line names for each role."""
    named = _given(roles)
    for pair in pairs:
        role, equals, model = (part.strip() for part in pair.partition("="))
        if not equals or not role or not model:
            raise SettingsError(f"--network {pair!r} is not of the form ROLE=MODEL")
        named[role] = model
    for role in named:
        if role not in recipe.spec.roles:
            known = ", ".join(recipe.spec.roles)
            raise SettingsError(f"the recipe {recipe.spec.name} has no network {role!r}; it has {known}")
    return named


def _settings(
    zoo: Zoo,
    recipe: RecipeEntry,
    pairs: Sequence[str],
    named: Mapping[str, str],
    training: dict[str, Any],
    before: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what `--set` and the flags say, in the form of a file of settings.

    Args:
        zoo: Where the models are.
        recipe: The recipe.
        pairs: `"name=value"`.
        named: Role -> model.
        training: Settings of the training that flags of their own gave; they win.
        before: Settings of the run and of the file, for models that the command line does not name.
    """
    from ganart_zoo.training.plan import chosen_model, joined

    roles, uses = recipe.spec.roles, recipe.spec.uses
    of_models: dict[str, list[str]] = {role: [] for role in named}
    config: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not equals or not name:
            raise SettingsError(f"--set {pair!r} is not of the form NAME=VALUE")
        head, dot, rest = name.replace("-", "_").partition(".")
        if head in roles and dot:
            of_models.setdefault(head, []).append(f"{rest}={text}")
        elif head in uses:
            of_models.setdefault(head, []).extend([f"{rest}={text}"] if dot else used_pairs(head, text))
        else:
            path = rest if head == "training" and dot else name.replace("-", "_")
            _set(zoo.recipe_settings(recipe.canonical).config_class, config, path, text)
    tables: dict[str, Any] = {}
    for key, own in of_models.items():
        named_here = [pair.partition("=")[2] for pair in own if pair.startswith("model=")]
        if key in roles:
            model = named.get(key) or chosen_model(recipe, key, *before)
        else:
            model = named_here[-1] if named_here else _used_model(recipe, key, before)
        tables[key] = parse_used_model(zoo, model, [pair for pair in own if not pair.startswith("model=")])
        if key in roles and key not in named:
            del tables[key]["model"]
    return {**tables, "training": joined(config, training)}


def _used_model(recipe: RecipeEntry, key: str, before: Sequence[Mapping[str, Any]]) -> str:
    models = [layer[key]["model"] for layer in before if layer.get(key, {}).get("model")]
    model = models[-1] if models else recipe.spec.uses[key].default
    if model is None:
        raise SettingsError(f"settings of {key} were given, and no model: give {key}=NAME too")
    return str(model)


def _set(config_class: type[BaseModel], values: dict[str, Any], path: str, text: str) -> None:
    """Set the config's field at a dotted path to what `text` says."""
    *groups, last = path.split(".")
    here, fields = values, config_class.model_fields
    for group in groups:
        below = getattr(fields[group].annotation, "model_fields", None) if group in fields else None
        if below is None:
            raise SettingsError(f"training has no group {group!r}{did_you_mean(group, fields)}")
        fields = below
        here = here.setdefault(group, {})
        if not isinstance(here, dict):
            raise SettingsError(f"training.{group} is {here!r:.80}, expected a table")
    if last not in fields:
        raise SettingsError(f"training has no setting {path!r}{did_you_mean(last, fields)}")
    here[last] = typed_value(fields[last], text)
