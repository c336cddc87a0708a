"""Describes what authors rely on, as JSON data: `python -m tests.compatibility.snapshot` prints it."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
from typing import Any

MODULES = ("ganart_zoo", "ganart_zoo.contract", "ganart_zoo.testing", "ganart_zoo.training")
SETTINGS = ("ganart_zoo.training:RunSettings", "ganart_zoo.training:TrainConfig")


def snapshot() -> dict[str, Any]:
    """Return public names with their signatures, hooks, words with a fixed meaning, settings and file formats."""
    from ganart_zoo.authoring import NEW_KINDS
    from ganart_zoo.contract import CAPABILITIES, KINDS, RESERVED_SETTINGS, hooks
    from ganart_zoo.contract.recipes import RESERVED_ROLES
    from ganart_zoo.imaging import Record

    return {
        "names": {module: _names(module) for module in MODULES},
        "hooks": {name: _signature(getattr(hooks, name)) for name in sorted(vars(hooks)) if name.startswith("ganart_")},
        "words": {
            "kinds": sorted(KINDS),
            "capabilities": sorted(CAPABILITIES),
            "reserved settings": sorted(RESERVED_SETTINGS),
            "reserved roles": sorted(RESERVED_ROLES),
            "ganart new": sorted(NEW_KINDS),
            "entry point": [hooks.ENTRY_POINT_GROUP],
        },
        "settings": {path: sorted(_load(path).model_fields) for path in SETTINGS},
        "formats": {"record": sorted(field.name for field in dataclasses.fields(Record))},
    }


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _names(module: str) -> dict[str, Any]:
    loaded = importlib.import_module(module)
    return {name: _described(getattr(loaded, name)) for name in sorted(loaded.__all__) if not name.startswith("__")}


def _described(value: Any) -> dict[str, Any]:
    if not inspect.isclass(value):
        return {"call": _signature(value)} if inspect.isroutine(value) else {}
    described: dict[str, Any] = {"bases": [base.__name__ for base in value.__mro__[1:-1]]}
    if dataclasses.is_dataclass(value) or hasattr(value, "_fields") or "__init__" in vars(value):
        described["call"] = _signature(value)
    methods = {
        name: _signature(member)
        for name, member in inspect.getmembers(value)
        if not name.startswith("_") and inspect.isroutine(member) and _owned(member)
    }
    if methods:
        described["methods"] = methods
    return described


def _owned(member: Any) -> bool:
    return str(getattr(member, "__module__", "")).startswith("ganart_zoo")


def _signature(function: Any) -> list[list[str]]:
    """Return each parameter: its name, its kind, and whether it has a default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        [parameter.name, parameter.kind.name, "optional" if parameter.default is not parameter.empty else "required"]
        for parameter in parameters
    ]


if __name__ == "__main__":
    print(json.dumps(snapshot(), indent=1, sort_keys=True))
