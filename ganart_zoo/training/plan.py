"""Combines the settings of a run, a TOML file and a caller into the plan of a training. Torch-free.

Settings have one form everywhere: `recipe`, `data`, `size`, `crop`, `flip` and `conditions`, a table for each role and
each key of `uses` of the recipe (`model`, `weights`, and the model's own settings), and a table `training` with the
recipe's config.

    run = read_settings(Path("runs/first"))       # ganart_zoo.registry.runs; when resuming
    file = read_file(Path("first.toml"))
    planned = plan(Zoo(), run=run, file=file, given={"training": {"steps": 2000}})
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganart_zoo.contract.errors import SettingsError, did_you_mean
from ganart_zoo.registry import RecipeEntry, Zoo
from ganart_zoo.registry.builtin import GAN
from ganart_zoo.training.settings import RunSettings, parse_config

__all__ = ["Plan", "chosen_model", "chosen_recipe", "joined", "plan", "read_file"]

_PLAIN: Mapping[str, type] = {
    "recipe": str,
    "data": str,
    "size": int,
    "crop": str,
    "flip": bool,
    "conditions": list,
}
"""Settings that are not tables, with their types."""


@dataclass(frozen=True)
class Plan:
    """The arguments of `ganart_zoo.tasks.train.train_recipe`."""

    recipe: RecipeEntry
    networks: Mapping[str, Mapping[str, Any]]
    """Role -> `{"model": name, **settings}`."""
    uses: Mapping[str, Any]
    """Key of the recipe's `uses` -> what `Zoo.create` would take for it; keys that have their default are left out."""
    data: str
    pictures: Mapping[str, Any]
    """Of `size`, `crop`, `flip` and `conditions`, those that were set."""
    config: RunSettings


def read_file(path: Path) -> dict[str, Any]:
    """Return what a TOML file of settings says, for `plan`.

    Raises:
        SettingsError: It cannot be read.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as TOML: {' '.join(str(error).split())}") from None


def chosen_recipe(zoo: Zoo, *layers: Mapping[str, Any]) -> RecipeEntry:
    """Return the recipe that the last of these settings with one names, else the default one.

    Raises:
        SettingsError: The name is not text.
        UnknownModelError, AmbiguousModelError: There is no such recipe.
    """
    name = next((layer["recipe"] for layer in reversed(layers) if "recipe" in layer), GAN)
    if not isinstance(name, str):
        raise SettingsError(f"recipe is {name!r:.80}, expected the name of a recipe")
    return zoo.recipe(name)


def chosen_model(recipe: RecipeEntry, role: str, *layers: Mapping[str, Any]) -> str:
    """Return the model that the last of these settings with one names for a role, else the recipe's default.

    Raises:
        SettingsError: None is named, and there is no default.
    """
    for layer in reversed(layers):
        if model := layer.get(role, {}).get("model"):
            return str(model)
    default = recipe.spec.roles[role].default
    if default is None:
        flag = f"--{role} MODEL" if role in ("generator", "critic") else f"--network {role}=MODEL"
        raise SettingsError(f'no {role}: give {flag}, or [{role}] model = "..." in the settings file')
    return default


def plan(
    zoo: Zoo,
    *,
    run: Mapping[str, Any] | None = None,
    file: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
    file_name: str = "the settings file",
) -> Plan:
    """Combine settings: the caller's take precedence over the file's, and the file's over those of a resumed run.

    Args:
        zoo: Where the recipe and the models are.
        run: Settings of `registry.runs.read_settings`.
        file: Settings of `read_file`.
        given: The caller's own, in the same form.
        file_name: For messages.

    Raises:
        SettingsError: A name or a value is not valid, or data or a network is missing.
        UnknownModelError, AmbiguousModelError: A recipe or a model is unknown.
        PluginFaultError: The recipe's settings are broken.
    """
    run, file, given = run or {}, file or {}, given or {}
    recipe = chosen_recipe(zoo, run, file, given)
    if run and zoo.recipe(run["recipe"]).canonical != recipe.canonical:
        run = {name: value for name, value in run.items() if name in ("data", "size", "crop", "flip")}
    spec = recipe.spec
    for name, layer in ((file_name, file), ("the settings given", given)):
        _check_names(name, layer, {**_PLAIN, **dict.fromkeys((*spec.roles, *spec.uses, "training"), dict)})
    networks = {role: _network(zoo, recipe, role, run, file, given) for role in spec.roles}
    uses = {
        key: each for key in spec.uses if (each := joined(*(layer.get(key) for layer in (run, file, given)), name=key))
    }
    training = joined(*(layer.get("training") for layer in (run, file, given)))
    plain = {name: value for name, value in {**run, **file, **given}.items() if name in _PLAIN and name != "recipe"}
    if "data" not in plain:
        raise SettingsError('no data: give --data PATH, or data = "PATH" in the settings file')
    config_class: Any = zoo.recipe_settings(recipe.canonical).config_class
    return Plan(recipe, networks, uses, plain.pop("data"), plain, parse_config(training, config_class))


def _check_names(where: str, layer: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    for name, value in layer.items():
        if name not in kinds:
            raise SettingsError(f"{where} has an unknown entry {name!r}{did_you_mean(name, kinds)}")
        kind = kinds[name]
        if not isinstance(value, kind if kind is not dict else Mapping) or (kind is int and isinstance(value, bool)):
            wanted = "a table" if kind is dict else f"of type {kind.__name__}"
            raise SettingsError(f"{where}: {name} is {value!r:.80}, expected it {wanted}")


def _network(zoo: Zoo, recipe: RecipeEntry, role: str, *layers: Mapping[str, Any]) -> dict[str, Any]:
    run, *others = layers
    model = chosen_model(recipe, role, *layers)
    before = run.get(role)
    if before and zoo.entry(model).canonical != before["model"]:
        before = None  # its settings are those of another model
    tables = [before or {}, *(layer.get(role) or {} for layer in others)]
    settings = {name: value for table in tables for name, value in table.items()}
    return {**settings, "model": before["model"] if before else model}


def joined(*tables: Mapping[str, Any] | None, name: str = "training") -> dict[str, Any]:
    """Join tables. Later values replace earlier ones, except that tables within them are joined too.

    Raises:
        SettingsError: A table replaces a value that is not a table. The message begins with `name`.
    """
    result: dict[str, Any] = {}
    for table in tables:
        for key, value in (table or {}).items():
            before = result.get(key)
            if isinstance(value, Mapping) and before is not None:
                if not isinstance(before, Mapping):
                    raise SettingsError(f"{name}.{key} is {before!r:.80}, expected a table")
                value = joined(before, value, name=f"{name}.{key}")
            result[key] = value
    return result
