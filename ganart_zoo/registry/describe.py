"""Describes the fields of a config or options class for help texts, tables and documentation. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Setting", "describe"]

_TYPE_NAMES = {"null": "none", "object": "mapping"}


@dataclass(frozen=True)
class Setting:
    """The description of one field."""

    name: str
    expected: str
    """Type and bounds: `"integer 1..2000"`, `"number > 0"`, `"'content' | 'noise'"`."""
    required: bool
    default: Any
    """As JSON data; None if the field is required."""
    description: str


def describe(settings_class: type[BaseModel]) -> tuple[Setting, ...]:
    """Return the fields of a settings class in the order of their declaration."""
    schema = settings_class.model_json_schema()
    definitions = schema.get("$defs", {})
    required = set(schema.get("required", ()))
    defaults = settings_class.model_construct().model_dump(mode="json", include=set(settings_class.model_fields))
    return tuple(
        Setting(
            name=name,
            expected=_expected(field, definitions),
            required=name in required,
            default=defaults.get(name),
            description=field.get("description", ""),
        )
        for name, field in schema.get("properties", {}).items()
    )


def _expected(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _expected(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "allOf" in schema:
        return " and ".join(_expected(part, definitions) for part in schema["allOf"])
    if "anyOf" in schema:
        return " or ".join(_expected(part, definitions) for part in schema["anyOf"])
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return " | ".join(map(repr, schema["enum"]))
    kind = schema.get("type", "any")
    if kind == "array":
        return _array(schema, definitions)
    return f"{_TYPE_NAMES.get(kind, kind)}{_bounds(schema)}"


def _array(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        return f"({', '.join(_expected(item, definitions) for item in schema['prefixItems'])})"
    item = _expected(schema.get("items", {}), definitions)
    return f"list of {item}"


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" {low:g}..{high:g}"
    bounds = [
        f"{sign} {schema[key]:g}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if key in schema
    ]
    return f" {' and '.join(bounds)}" if bounds else ""
