"""`ganart info`: a model's settings, the models it uses, and its weights on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import click

from ganart_zoo.cli.commands.weights import described_weights, size_text, state_of
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.options import json_option
from ganart_zoo.cli.show import emit_json, table
from ganart_zoo.contract.errors import UnknownModelError
from ganart_zoo.contract.spec import Use, Weights, WeightsFile
from ganart_zoo.registry import Entry, RecipeEntry, Zoo
from ganart_zoo.registry.describe import Setting, describe

__all__ = ["command"]


@click.command("info")
@click.argument("model", metavar="MODEL_OR_RECIPE")
@json_option
@pass_zoo
def command(zoo: Zoo, model: str, as_json: bool) -> None:
    """Show what a model or a recipe does, its settings, weights, licence and paper."""
    try:
        entry = zoo.entry(model)
    except UnknownModelError:
        with suppress(UnknownModelError):
            _recipe(zoo, zoo.recipe(model), as_json)
            return
        raise
    spec, settings = entry.spec, zoo.settings(model)
    config, options = describe(settings.config_class), describe(settings.options_class)
    if as_json:
        emit_json(
            {
                "name": zoo.display_name(entry),
                "canonical": entry.canonical,
                "kind": spec.kind,
                "summary": spec.summary,
                "license": spec.license,
                "paper": spec.paper,
                "plugin": {"distribution": entry.plugin.distribution, "version": entry.plugin.version},
                "capabilities": sorted(spec.capabilities),
                "style_names": list(spec.style_names),
                "stability": spec.stability,
                "uses": _described(spec.uses),
                "config_schema": settings.config_class.model_json_schema(),
                "options_schema": settings.options_class.model_json_schema(),
                "weights": described_weights(zoo, entry),
            }
        )
        return
    _facts(
        zoo,
        entry,
        {
            "name": entry.canonical,
            "kind": spec.kind,
            "can": ", ".join(sorted(spec.capabilities)),
            "styles": ", ".join(spec.style_names),
            "stability": "" if spec.stability == "stable" else spec.stability,
            "licence": spec.license,
            "paper": spec.paper or "",
        },
    )
    if spec.uses:
        _heading("Models it uses, --set NAME=MODEL")
        _models(spec.uses)
    for title, rows in (("Config of the model", config), ("Options of a call", options)):
        if rows:
            _heading(f"{title}, --set NAME=VALUE")
            _settings(rows)
    if spec.weights:
        _heading("Weights")
        table(
            ("variant", "size", "state", "licence", ""),
            [
                (variant.name, size_text(file), state_of(zoo, file), file.license, _about(variant, file))
                for variant in spec.weights
                for file in variant.files
            ],
        )


def _recipe(zoo: Zoo, entry: RecipeEntry, as_json: bool) -> None:
    spec, config_class = entry.spec, zoo.recipe_settings(entry.canonical).config_class
    if as_json:
        emit_json(
            {
                "name": zoo.display_name(entry),
                "canonical": entry.canonical,
                "kind": "recipe",
                "summary": spec.summary,
                "license": spec.license,
                "paper": spec.paper,
                "plugin": {"distribution": entry.plugin.distribution, "version": entry.plugin.version},
                "networks": _described(spec.roles),
                "main": spec.main,
                "pretrained": list(spec.pretrained),
                "uses": _described(spec.uses),
                "config_schema": config_class.model_json_schema(),
            }
        )
        return
    facts = {"name": entry.canonical, "kind": "recipe", "licence": spec.license, "paper": spec.paper or ""}
    _facts(zoo, entry, facts)
    _heading("Networks, --network NAME=MODEL")
    _models(spec.roles)
    if spec.uses:
        _heading("Models it uses, --set NAME=MODEL")
        _models(spec.uses)
    _heading("Settings of the training, --set NAME=VALUE")
    _settings(describe(config_class))


def _facts(zoo: Zoo, entry: Entry | RecipeEntry, facts: Mapping[str, str]) -> None:
    click.echo(f"{click.style(zoo.display_name(entry), bold=True)}  {entry.spec.summary}\n")
    plugin = f"{entry.plugin.distribution} {entry.plugin.version}"
    for name, value in {**facts, "plugin": plugin}.items():
        if value:
            click.echo(f"{name:9}  {value}")


def _described(uses: Mapping[str, Use]) -> dict[str, dict[str, str | None]]:
    return {key: {"kind": use.kind, "default": use.default, "summary": use.summary} for key, use in uses.items()}


def _models(uses: Mapping[str, Use]) -> None:
    table(
        ("name", "kind", "default", ""),
        [(key, use.kind, use.default or "", use.summary) for key, use in uses.items()],
    )


def _about(variant: Weights, file: WeightsFile) -> str:
    trained = f"Trained on {file.training_data}." if file.training_data else ""
    return "  ".join(filter(None, (variant.summary, trained, file.source or " ".join(file.urls))))


def _heading(text: str) -> None:
    click.echo(f"\n{click.style(text, bold=True)}")


def _settings(settings: Sequence[Setting]) -> None:
    table(
        ("name", "expected", "default", ""),
        [(setting.name, setting.expected, _default(setting), setting.description) for setting in settings],
    )


def _default(setting: Setting) -> Any:
    if setting.required:
        return "required"
    return setting.default if isinstance(setting.default, str) else json.dumps(setting.default).replace("null", "none")
