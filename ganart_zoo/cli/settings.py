"""Settings from the command line: `--set name=value`, and flags for the options that mean the same in all models.

A value is read as JSON where the setting accepts that, else as text, else as a comma-separated list. The settings of a
model that another uses follow a dot, `--set backbone=vgg19 --set backbone.weights=vgg19.pth`, or form one JSON object,
`--set 'backbone={"model": "vgg19", "weights": "vgg19.pth"}'`. So do the entries of a setting that is a group or a
mapping: `--set loss.weight=2`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry import Zoo

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["parse_settings", "parse_used_model", "typed_value", "used_pairs", "weights_of"]


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
    texts = {name: text for name, text in (flags or {}).items() if text is not None}
    return _typed(zoo, model, texts | _texts("--set", pairs))


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


def weights_of(text: str) -> str | None:
    """Return the weights that a command line names; `none` means an untrained model."""
    return None if text in ("none", "null") else text


def used_pairs(name: str, text: str) -> list[str]:
    """Return `"setting=value"` pairs for the value of a key of `uses`: `vgg19`, or `{"model": "vgg19", ...}`.

    Raises:
        SettingsError: It starts as JSON and is not valid.
    """
    return [f"{key}={value}" for key, value in _used_texts(name, text).items()]


def _texts(flag: str, pairs: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise SettingsError(f"{flag} {pair!r} is not of the form NAME=VALUE")
        texts[name.strip().replace("-", "_")] = text.strip()
    return texts


def _typed(zoo: Zoo, model: str, texts: Mapping[str, str]) -> dict[str, Any]:
    settings = zoo.settings(model)
    fields = {**settings.config_class.model_fields, **settings.options_class.model_fields}
    uses = settings.entry.spec.uses
    typed: dict[str, Any] = {}
    below: dict[str, dict[str, str]] = {}
    for name, text in texts.items():
        head, dot, rest = name.partition(".")
        if head in uses:
            below.setdefault(head, {}).update({rest: text} if dot else _used_texts(head, text))
        elif name in fields:
            typed[name] = typed_value(fields[name], text)
        elif dot and head in fields and _has_entries(fields[head]):
            typed[head] = _with_entry(typed.get(head), fields[head], rest, text)
        else:
            raise settings.unknown(name)
    for key, used_texts in below.items():
        used = used_texts.pop("model", uses[key].default)
        if used is None:
            raise SettingsError(f"settings of {key} were given, and no model: give {key}=NAME too")
        typed[key] = _used_model(zoo, used, used_texts)
    return typed


def _has_entries(field: FieldInfo) -> bool:
    """Say whether a value of the field has named entries: those of a settings class or of a mapping."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(field.rebuild_annotation()).json_schema()
    return any("$ref" in branch or branch.get("type") == "object" for branch in (schema, *schema.get("anyOf", ())))


def _with_entry(value: Any, field: FieldInfo, path: str, text: str) -> dict[str, Any]:
    """Return a field's value with the entry at the dotted `path` set; other entries keep their default.

    The entry is the first reading of `text` with which the field is valid, else the first reading, for the error.
    """
    from pydantic import TypeAdapter, ValidationError

    adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
    if value is None:
        default = field.get_default(call_default_factory=True)
        value = default.model_dump() if hasattr(default, "model_dump") else default if isinstance(default, dict) else {}
    candidates = [_replaced(value, path.split("."), reading) for reading in _readings(text)]
    for candidate in candidates:
        try:
            adapter.validate_python(candidate)
        except ValidationError:
            continue
        return candidate
    return candidates[0]


def _replaced(value: Any, path: Sequence[str], new: Any) -> dict[str, Any]:
    entries = dict(value) if isinstance(value, Mapping) else {}
    first, *rest = path
    entries[first] = _replaced(entries.get(first), rest, new) if rest else new
    return entries


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
    chosen = {"weights": weights_of(texts["weights"])} if "weights" in texts else {}
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
