"""The whole zoo as JSON data, from which forms, nodes and protocols are generated. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ganart_zoo
from ganart_zoo.contract.errors import PluginFaultError
from ganart_zoo.contract.spec import CAPABILITIES, KINDS, Use, Weights
from ganart_zoo.registry.names import Entry, RecipeEntry

if TYPE_CHECKING:
    from ganart_zoo.registry.settings import ModelSettings
    from ganart_zoo.registry.zoo import Zoo

__all__ = ["VERSION", "catalogue", "settings_schema"]

VERSION = 1
"""Of the form of the data. A later version may add keys without a new number, and changes it where a key goes."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def catalogue(zoo: Zoo) -> dict[str, Any]:
    """Return what `Zoo.describe` returns."""
    models = []
    for entry in zoo.list():
        try:
            models.append(_model(zoo, entry))
        except PluginFaultError:
            continue  # it is in zoo.faults now
    recipes = []
    for recipe in zoo.recipes():
        try:
            recipes.append(_recipe(zoo, recipe))
        except PluginFaultError:
            continue
    return {
        "format": "ganart-zoo",
        "version": VERSION,
        "ganart_zoo": ganart_zoo.__version__,
        "kinds": dict(KINDS),
        "capabilities": dict(CAPABILITIES),
        "models": models,
        "recipes": recipes,
        "faults": [str(fault) for fault in zoo.faults],
    }


def settings_schema(zoo: Zoo, known: ModelSettings) -> dict[str, Any]:
    """Return the JSON Schema of all settings of a model: its config, its options, and the models it uses.

    Each property says by `x-ganart-role` which it is: `"config"`, `"option"` or `"use"`.
    """
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    required: list[str] = []
    for role, one in (("config", known.config_class), ("option", known.options_class)):
        schema = one.model_json_schema()
        definitions |= schema.get("$defs", {})
        required += schema.get("required", [])
        for name, field in schema.get("properties", {}).items():
            properties[name] = {**field, "x-ganart-role": role}
    for key, use in known.entry.spec.uses.items():
        properties[key] = {**_use_schema(zoo, use), "x-ganart-role": "use"}
        if use.default is None:
            required.append(key)
    found: dict[str, Any] = {
        "$schema": _DIALECT,
        "title": known.entry.canonical,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    if required:
        found["required"] = required
    if definitions:
        found["$defs"] = definitions
    return found


def _model(zoo: Zoo, entry: Entry) -> dict[str, Any]:
    spec, known = entry.spec, zoo.settings(entry.canonical)
    return {
        "name": entry.canonical,
        "short_name": zoo.display_name(entry),
        "kind": spec.kind,
        "summary": spec.summary,
        "license": spec.license,
        "paper": spec.paper,
        "capabilities": sorted(spec.capabilities),
        "style_names": list(spec.style_names),
        "stability": spec.stability,
        "distribution": entry.plugin.distribution,
        "version": entry.plugin.version,
        "isolated": entry.plugin.isolation is not None,
        "uses": {
            key: {"kind": use.kind, "default": use.default, "summary": use.summary} for key, use in spec.uses.items()
        },
        "weights": [_weights(zoo, variant) for variant in spec.weights],
        "settings": settings_schema(zoo, known),
    }


def _weights(zoo: Zoo, variant: Weights) -> dict[str, Any]:
    return {
        "name": variant.name,
        "summary": variant.summary,
        "config": _plain(variant.config),
        "present": all(zoo.store.locate(file) is not None for file in variant.files),
        "bytes": sum(file.size or 0 for file in variant.files),
        "files": [
            {
                "name": file.name,
                "sha256": file.sha256,
                "size": file.size,
                "license": file.license,
                "training_data": file.training_data,
                "source": file.source,
            }
            for file in variant.files
        ],
    }


def _recipe(zoo: Zoo, entry: RecipeEntry) -> dict[str, Any]:
    spec = entry.spec
    return {
        "name": entry.canonical,
        "short_name": zoo.display_name(entry),
        "summary": spec.summary,
        "license": spec.license,
        "distribution": entry.plugin.distribution,
        "version": entry.plugin.version,
    }


def _use_schema(zoo: Zoo, use: Use) -> dict[str, Any]:
    names = [entry.canonical for entry in zoo.list(kind=use.kind)]
    return {
        "description": use.summary or f"The {use.kind} it is built on.",
        "default": use.default,
        "x-ganart-kind": use.kind,
        "anyOf": [
            {"enum": sorted({*names, *([use.default] if use.default else [])})},
            {
                "type": "object",
                "properties": {"model": {"enum": names}, "weights": {"type": "string"}},
                "required": ["model"],
            },
        ],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
