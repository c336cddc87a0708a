"""The settings of a model as fields of a form, read from its JSON Schema. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ganart_zoo.contract.errors import SettingsError

__all__ = ["FormField", "fields_of", "settings_from"]

Kind = Literal["integer", "number", "switch", "choice", "text", "json"]


@dataclass(frozen=True)
class FormField:
    """One field."""

    name: str
    kind: Kind
    """`"json"`: a value of any other type, as JSON text; empty leaves it at its default."""
    default: Any
    """Of its kind; for JSON, the text."""
    description: str = ""
    least: float | None = None
    most: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()


def fields_of(schema: Mapping[str, Any], *, roles: tuple[str, ...] = ("option",)) -> tuple[FormField, ...]:
    """Return the fields of a model's `settings` schema, as `Zoo.describe` gives it.

    Args:
        schema: The schema.
        roles: Of `"config"`, `"option"` and `"use"`.
    """
    definitions = schema.get("$defs", {})
    chosen = {name: one for name, one in schema["properties"].items() if one.get("x-ganart-role") in roles}
    return tuple(_field(name, one, definitions) for name, one in chosen.items())


def settings_from(fields: tuple[FormField, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that differ from the defaults of the form, from the values of its fields.

    Raises:
        SettingsError: The text of a JSON field is not JSON.
    """
    found: dict[str, Any] = {}
    for field in fields:
        value = values.get(field.name, field.default)
        if value == field.default:
            continue
        if field.kind == "json":
            try:
                value = json.loads(value)
            except ValueError:
                raise SettingsError(f"{field.name} is {value!r:.60}, expected JSON") from None
        found[field.name] = int(value) if field.kind == "integer" else value
    return found


def _field(name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> FormField:
    default, text = schema.get("default"), schema.get("description", "")
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].rpartition("/")[2]], **schema}
    choices = schema.get("enum")
    if choices and all(isinstance(one, str) for one in choices) and default in choices:
        return FormField(name, "choice", default, text, choices=tuple(choices))
    kind = schema.get("type")
    if kind == "boolean":
        return FormField(name, "switch", bool(default), text)
    if kind in ("integer", "number") and default is not None:
        least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
        step = schema.get("multipleOf", 1 if kind == "integer" else None)
        return FormField(name, kind, default, text, least, most, step)
    if kind == "string" and isinstance(default, str):
        return FormField(name, "text", default, text)
    return FormField(name, "json", "" if default is None else json.dumps(default), text)
