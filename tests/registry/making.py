"""Plugins made on the spot, for tests that give them to `Zoo(plugins=[...])`."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from ganart_zoo import ModelSpec, hookimpl


def spec(name: str, **changes: Any) -> ModelSpec:
    """Return a sound declaration with the given fields changed."""
    known = {"kind": "generator", "summary": "One.", "license": "MIT", "factory": "nowhere:Nothing"}
    return ModelSpec(name=name, **{**known, **changes})


def plugin(name: str, *specs: ModelSpec, **hooks: Callable[..., Any]) -> ModuleType:
    """Return a plugin module that offers `specs` and has the other hooks given."""
    module = ModuleType(name)
    for hook, function in {"ganart_models": lambda: list(specs), **hooks}.items():
        setattr(module, hook, hookimpl(function))
    return module
