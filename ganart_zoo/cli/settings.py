"""Settings from the command line: `--set name=value` and the flags of options that mean the same everywhere.

A value is read as JSON where the setting accepts that, else as text, else as a comma-separated list. A model that the
model is built on takes its own settings after a dot, `--set backbone=vgg19 --set backbone.weights=vgg19.pth`, or as one
JSON object, `--set 'backbone={"model": "vgg19", "weights": "vgg19.pth"}'`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry import Zoo

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["option_flags", "parse_settings", "parse_used_model", "set_option", "typed_value"]

_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "steps": "Steps of the model's work.",
        "alpha": "How far to go: 0 the photo, 1 the style.",
        "preserve_colour": "Whether, or how, the photo's colours stay.",
        "strength": "How much the start may change: 0 nothing, 1 all.",
        "truncation": "How far styles stay from their mean: 1 as they are, 0 at it.",
        "guidance": "How closely to follow the text.",
        "negative_prompt": "What not to paint.",
    }
)

set_option = click.option(
    "--set",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    help="A setting of the model, as ganart info MODEL lists them. Repeatable.",
)


def option_flags(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a flag for each option of that name; the values stay text for `parse_settings`."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            flag = f"--{name.replace('_', '-')}"
            command = click.option(flag, name, metavar="VALUE", help=f"{_FLAGS[name]} Where the model has it.")(command)
        return command

    return add


def parse_settings(
    zoo: Zoo, model: str, pairs: Sequence[str], flags: Mapping[str, str | None] | None = None
) -> dict[str, Any]:
    """Return the settings of `model` by name, in the types that its schema asks for; bounds are checked later.

    Args:
        zoo: Where the model is.
        model: Its name.
        pairs: `"name=value"`; a later one of the same name wins.
        flags: Option -> text; None where it was not given.

    Raises:
        SettingsError: A pair is not of that form, or the model has no such setting.
    """
    given = {name: text for name, text in (flags or {}).items() if text is not None}
    return _typed(zoo, model, given | _texts("--set", pairs))


def parse_used_model(zoo: Zoo, model: str, pairs: Sequence[str], *, flag: str = "--set") -> dict[str, Any]:
    """Return `{"model": ..., **settings}`, with `weights` where `pairs` have it: a model as another is built on it.

    Args:
        zoo: Where the model is.
        model: Its name.
        pairs: `"name=value"`; a later one of the same name wins.
        flag: What gave them, for messages.

    Raises:
        SettingsError: As `parse_settings`.
    """
    return _used_model(zoo, model, _texts(flag, pairs))


def _texts(flag: str, pairs: Sequence[str]) -> dict[str, str]:
    given = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise SettingsError(f"{flag} {pair!r} is not of the form NAME=VALUE")
        given[name.strip().replace("-", "_")] = text.strip()
    return given


def _typed(zoo: Zoo, model: str, given: Mapping[str, str]) -> dict[str, Any]:
    settings = zoo.settings(model)
    fields = {**settings.config_class.model_fields, **settings.options_class.model_fields}
    uses = settings.entry.spec.uses
    typed: dict[str, Any] = {}
    below: dict[str, dict[str, str]] = {}
    for name, text in given.items():
        head, dot, rest = name.partition(".")
        if head in uses:
            below.setdefault(head, {}).update({rest: text} if dot else _used_texts(head, text))
        elif name in fields:
            typed[name] = typed_value(fields[name], text)
        else:
            raise settings.unknown(name)
    for key, texts in below.items():
        used = texts.pop("model", uses[key].default)
        if used is None:
            raise SettingsError(f"settings of {key} were given, and no model: give {key}=NAME too")
        typed[key] = _used_model(zoo, used, texts)
    return typed


def _used_texts(name: str, text: str) -> dict[str, str]:
    """Read `vgg19`, or `{"model": "vgg19", ...}`, as the text of each setting."""
    if not text.startswith("{"):
        return {"model": text}
    try:
        values = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{name} is {text!r:.80}, which is not valid JSON: {error}") from None
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def _used_model(zoo: Zoo, model: str, texts: Mapping[str, str]) -> dict[str, Any]:
    rest = {name: text for name, text in texts.items() if name != "weights"}
    chosen = {"weights": texts["weights"]} if "weights" in texts else {}
    return {"model": model, **chosen, **_typed(zoo, model, rest)}


def typed_value(field: FieldInfo, text: str) -> Any:
    """Return the first reading of `text` that the field accepts; where it accepts none, the first, for the error."""
    from pydantic import TypeAdapter, ValidationError

    adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
    readings = list(_readings(text))
    for reading in readings:
        try:
            adapter.validate_python(reading)
        except ValidationError:
            continue
        return reading
    return readings[0]


def _readings(text: str) -> Iterator[Any]:
    yield _json_or_text(text)
    yield text
    if text.lower() == "none":
        yield None
    yield [_json_or_text(part.strip()) for part in text.split(",")]


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
