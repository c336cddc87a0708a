"""`ganart info`: a model's settings, the models it uses, and its weights on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from ganart_zoo.cli.commands.weights import described_weights, size_text, state_of
from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.options import json_option
from ganart_zoo.cli.show import emit_json, table
from ganart_zoo.contract.spec import Weights, WeightsFile
from ganart_zoo.registry import Zoo
from ganart_zoo.registry.describe import Setting, describe

__all__ = ["command"]


@click.command("info")
@click.argument("model")
@json_option
@pass_zoo
def command(zoo: Zoo, model: str, as_json: bool) -> None:
    """Show what MODEL does, its settings, weights, licence and paper."""
    entry = zoo.entry(model)
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
                "uses": {
                    key: {"kind": use.kind, "default": use.default, "summary": use.summary}
                    for key, use in spec.uses.items()
                },
                "config_schema": settings.config_class.model_json_schema(),
                "options_schema": settings.options_class.model_json_schema(),
                "weights": described_weights(zoo, entry),
            }
        )
        return
    click.echo(f"{click.style(zoo.display_name(entry), bold=True)}  {spec.summary}\n")
    facts = {
        "name": entry.canonical,
        "kind": spec.kind,
        "can": ", ".join(sorted(spec.capabilities)),
        "licence": spec.license,
        "paper": spec.paper or "",
        "plugin": f"{entry.plugin.distribution} {entry.plugin.version}",
    }
    for name, value in facts.items():
        if value:
            click.echo(f"{name:8}  {value}")
    if spec.uses:
        _heading("Models it uses, --set NAME=MODEL")
        table(
            ("name", "kind", "default", ""),
            [(key, use.kind, use.default or "", use.summary) for key, use in spec.uses.items()],
        )
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
