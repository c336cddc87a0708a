"""What strangers may ask of a model: declared models and weights, no files, and an upper bound on every number."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganart_zoo.contract.errors import SettingsError, UnknownModelError

if TYPE_CHECKING:
    from ganart_zoo.registry.zoo import Zoo

__all__ = ["UntrustedPolicy"]

_SIDES = ("size", "resolution", "side")
_DEPTH = 6
_SHOWN = 60


@dataclass(frozen=True)
class UntrustedPolicy:
    """Bounds on requests whose author is not trusted, as those of a public service.

    Models are named, never given as a folder; weights are those that the plugin declares and that are on this machine;
    strings name no file. What a plugin's schema bounds more tightly stays so.
    """

    models: Collection[str] | None = None
    """Names of the only models that may be used; None: all that are installed."""
    side: int = 2048
    """The largest `size`, `resolution` or `side`, in pixels."""
    steps: int = 1000
    """The largest number of steps."""
    pictures: int = 64
    """The most pictures that one job makes, and seeds that it is given."""
    number: float = 10_000
    """The largest magnitude of any other number."""
    items: int = 64
    """The most items of a list or mapping."""
    text: int = 2000
    """The most characters of a text."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name != "models" and not value > 0:
                raise SettingsError(f"{one.name} is {value!r:.40}, expected a number above 0")

    def check_model(
        self, zoo: Zoo, model: Any, *, weights: Any = "default", settings: Mapping[str, Any] | None = None
    ) -> None:
        """Refuse a model, its weights or its settings where a stranger may not have them.

        Raises:
            SettingsError: It is refused; the message repeats no more than the start of what was given.
        """
        entry = self._entry(zoo, model)
        name = entry.canonical
        variants = ["default", *(variant.name for variant in entry.spec.weights)]
        if not isinstance(weights, str) or weights not in variants:
            offered = ", ".join(dict.fromkeys(variants))
            raise SettingsError(f"{name}: weights {_short(weights)} are not allowed here; expected one of {offered}")
        known = zoo.settings(name)
        for key, value in (settings or {}).items():
            if key in entry.spec.uses:
                self._check_use(zoo, name, key, value)
            elif key in known.config_names:
                self.check_value(key, value)
                self._check_config(known.config_class, name, key, value)
            elif key in known.option_names:
                self.check_value(key, value)
            else:
                raise known.unknown(str(key)[:_SHOWN])

    def check_value(self, name: str, value: Any, *, depth: int = 0) -> None:
        """Refuse a value that is not plain JSON data within the bounds.

        Raises:
            SettingsError: It is refused.
        """
        if value is None or isinstance(value, bool):
            return
        if isinstance(value, (int, float)):
            largest = self.side if name in _SIDES else self.steps if name.endswith("steps") else self.number
            if name == "seed" or name.endswith("_seed"):
                largest = 2.0**63
            if not -largest <= value <= largest:
                raise SettingsError(f"{name} is {_short(value)}, expected at most {largest:g} here")
        elif isinstance(value, str):
            if len(value) > self.text or "\0" in value:
                raise SettingsError(f"{name} has {len(value)} characters, expected at most {self.text} here")
        elif isinstance(value, (list, tuple, dict)):
            if len(value) > self.items or depth >= _DEPTH:
                raise SettingsError(f"{name} has more than {self.items} items, or nests too deeply for here")
            for each in value.items() if isinstance(value, dict) else enumerate(value):
                inner = name if not isinstance(value, dict) else str(each[0])
                self.check_value(inner, each[1], depth=depth + 1)
        else:
            raise SettingsError(f"{name} is a {type(value).__name__}, expected plain JSON data here")

    def _entry(self, zoo: Zoo, model: Any) -> Any:
        if isinstance(model, Path) or not isinstance(model, str) or len(model) > 200:
            raise SettingsError(f"model is {_short(model)}, expected the name of an installed model here")
        entry = zoo.entry(model)
        if self.models is not None and entry.canonical not in {zoo.entry(name).canonical for name in self.models}:
            raise UnknownModelError(f"model {_short(model)} is not offered here")
        return entry

    def _check_use(self, zoo: Zoo, owner: str, key: str, value: Any) -> None:
        if isinstance(value, str):
            self._entry(zoo, value)
        elif isinstance(value, dict) and isinstance(value.get("model"), str):
            below = dict(value)
            if "part" in below:
                raise SettingsError(f"{owner}: {key} has a part, which only a run has, and runs are not allowed here")
            self.check_model(zoo, below.pop("model"), weights=below.pop("weights", "default"), settings=below)
        else:
            raise SettingsError(f"{owner}: {key} is {_short(value)}, expected a name, or a mapping with 'model'")

    def _check_config(self, config_class: Any, owner: str, key: str, value: Any) -> None:
        """Refuse what would be built larger than the plugin's own default, where its schema sets no bound."""
        field = config_class.model_fields[key]
        schema = config_class.model_json_schema().get("properties", {}).get(key, {})
        if isinstance(value, str) and ("/" in value or "\\" in value or value.startswith(("~", ".", "hub:"))):
            raise SettingsError(f"{owner}: {key} looks like a file, and files are not allowed here")
        if schema.get("format") in ("path", "file-path", "directory-path"):
            raise SettingsError(f"{owner}: {key} is a file, and files are not allowed here")
        given, usual = _magnitude(value), _magnitude(field.get_default(call_default_factory=True))
        if not _bounded(schema) and given > max(usual, 1) and key not in _SIDES:
            raise SettingsError(f"{owner}: {key} is {_short(value)}, expected at most {usual:g} here")


def _magnitude(value: Any) -> float:
    """Return the largest number in a value."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return abs(float(value))
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (list, tuple)):
        return max((_magnitude(each) for each in value), default=0.0)
    return 0.0


def _bounded(schema: Mapping[str, Any]) -> bool:
    parts = schema.get("anyOf", [schema])
    numbers = [part for part in parts if part.get("type") in ("integer", "number")]
    return bool(numbers) and all("maximum" in part or "exclusiveMaximum" in part for part in numbers)


def _short(value: Any) -> str:
    text = repr(str(value) if isinstance(value, Path) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
