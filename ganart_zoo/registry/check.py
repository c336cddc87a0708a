"""Checks that what a declaration refers to exists, for `Zoo.check` and `ganart doctor`. Torch-free."""

from __future__ import annotations

import ast
import pkgutil
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from ganart_zoo.contract.errors import (
    AmbiguousModelError,
    GanartError,
    PluginFaultError,
    UnknownModelError,
    did_you_mean,
)
from ganart_zoo.contract.fault import Fault
from ganart_zoo.contract.spec import Use, Weights
from ganart_zoo.registry.names import Entry, RecipeEntry
from ganart_zoo.registry.settings import ModelSettings, RecipeSettings

if TYPE_CHECKING:
    from ganart_zoo.registry.zoo import Zoo

_HASHED = 64 << 20
"""Bytes of the largest files whose hash is compared."""

__all__ = ["check_entry", "use_problem"]


def check_entry(zoo: Zoo, entry: Entry | RecipeEntry) -> Iterator[Fault]:
    """Yield a fault for everything that the declaration names and that does not exist.

    The factory's module is located and parsed but not imported, since it may import torch. Settings modules are
    imported.
    """

    if missing := _missing(entry.spec.factory):
        yield entry.fault("factory", missing)
    try:
        ModelSettings(entry) if isinstance(entry, Entry) else RecipeSettings(entry)
    except PluginFaultError as error:
        yield error.fault
    except Exception as error:  # pydantic itself may fail to import, for example if its metadata is damaged
        yield entry.fault("settings", error)
    else:
        if isinstance(entry, Entry):
            yield from _weights_faults(zoo, entry)
    for key in entry.spec.uses:
        if problem := use_problem(zoo, entry, key):
            yield entry.fault("uses", problem)
    if isinstance(entry, RecipeEntry):
        for role, use in entry.spec.roles.items():
            if problem := _default_problem(zoo, role, use):
                yield entry.fault("uses", problem)


def _weights_faults(zoo: Zoo, entry: Entry) -> Iterator[Fault]:
    """Yield what is wrong with the files that the distribution should carry, and with what variants need."""
    known = ModelSettings(entry)
    for variant in entry.spec.weights:
        if problem := config_problem(known, variant):
            yield entry.fault("settings", problem)
        for file in variant.files:
            if file.package is None or not _installed(file.package.partition(":")[0]):
                continue
            where = f"weights {variant.name!r}"
            try:
                path = zoo.store.path(file)
            except GanartError as error:
                yield entry.fault("weights", f"{where}: {error}")
                continue
            size = path.stat().st_size
            if file.size not in (None, size):
                yield entry.fault("weights", f"{where}: {path.name} has {size} bytes, and {file.size} are declared")
            elif size <= _HASHED and zoo.store.verify(file) == "damaged":
                yield entry.fault("weights", f"{where}: {path.name} has another sha256 than is declared")


def _installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except (metadata.PackageNotFoundError, ValueError):
        return False  # a plugin may be given as a module, and a file may come with another distribution
    return True


def config_problem(known: ModelSettings, variant: Weights) -> str:
    """Return which value that a variant needs is not valid for the config, or `""`."""
    from pydantic import ValidationError

    try:
        known.config_class(**variant.config)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            name = str(detail["loc"][0]) if detail["loc"] else ""
            if name in variant.config and detail["type"] != "missing":
                return (
                    f"weights {variant.name!r} need {name}={variant.config[name]!r:.60}, "
                    f"which the config refuses: {' '.join(detail['msg'].split())}"
                )
    except Exception as error:  # a validator may raise anything
        return f"weights {variant.name!r}: the config raises {type(error).__name__}: {error}"
    return ""


def use_problem(zoo: Zoo, entry: Entry | RecipeEntry, key: str) -> str:
    """Return what is wrong with the default model of `key`, or `""`."""
    use = entry.spec.uses[key]
    if problem := _default_problem(zoo, key, use):
        return problem
    if use.default is None or isinstance(entry, RecipeEntry):  # nothing is built on a recipe
        return ""
    used = zoo.entry(use.default)
    if cycle := _path_back(zoo, entry, used):
        return f"default of {key!r} is a cycle: {' -> '.join([entry.canonical, *cycle])}"
    return ""


def _default_problem(zoo: Zoo, key: str, use: Use) -> str:
    """Say what is wrong with the default model of a `Use`, or nothing."""
    if use.default is None:
        return ""
    try:
        used = zoo.entry(use.default)
    except (UnknownModelError, AmbiguousModelError) as error:
        return f"default of {key!r}: {error}"
    if used.spec.kind != use.kind:
        return f"default of {key!r} is {use.default}, a {used.spec.kind}, expected a {use.kind}"
    return ""


def _path_back(zoo: Zoo, start: Entry, first: Entry) -> list[str]:
    """Return the canonical names on a path of defaults from `first` to `start`, or an empty list."""
    seen = {first.canonical}
    paths = [[first]]
    while paths:
        path = paths.pop()
        if path[-1].canonical == start.canonical:
            return [entry.canonical for entry in path]
        for use in path[-1].spec.uses.values():
            try:
                below = zoo.entry(use.default or "")
            except (UnknownModelError, AmbiguousModelError):
                continue  # a fault of that model
            if below.canonical not in seen:
                seen.add(below.canonical)
                paths.append([*path, below])
    return []


def _missing(path: str) -> str:
    """Return which part of `"module:Name"` does not exist, or `""`."""
    module, _, attribute = path.partition(":")
    spec = _find(module)
    if spec is None:
        return f"there is no module {module!r}{did_you_mean(module, _siblings(module))}"
    if spec.origin is None or not spec.origin.endswith(".py"):
        return ""  # a compiled module, which cannot be parsed
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (SyntaxError, ValueError) as error:
        return f"{module} cannot be parsed: {type(error).__name__}: {error}"
    names = set(_bound_names(tree.body))
    first = attribute.split(".")[0]
    if first in names or "*" in names or "__getattr__" in names:
        return ""
    return f"module {module!r} has no {first!r}{did_you_mean(first, names)}"


def _siblings(module: str) -> list[str]:
    """Return the modules beside the one that was asked for, without importing their package."""
    parent = module.rpartition(".")[0]
    above = _find(parent) if parent else None
    folders = above.submodule_search_locations if above is not None else None
    return [f"{parent}.{info.name}" for info in pkgutil.iter_modules(folders)] if folders else []


def _find(module: str) -> ModuleSpec | None:
    """Return the spec of a module without importing its parents."""
    if getattr(sys.modules.get(module), "__spec__", None) is not None:
        return sys.modules[module].__spec__
    parent, _, _ = module.rpartition(".")
    search: list[str] | None = None
    if parent:
        above = _find(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        search = list(above.submodule_search_locations)
        return PathFinder.find_spec(module, search)
    for finder in sys.meta_path:  # editable installs add finders
        if (spec := finder.find_spec(module, None)) is not None:
            return spec
    return None


def _bound_names(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that module-level statements bind, and "*" for a star import."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
        else:
            for branch in ("body", "orelse", "finalbody"):
                yield from _bound_names(getattr(node, branch, []))
            for handler in getattr(node, "handlers", []):
                yield from _bound_names(handler.body)
