"""Builds a recipe of the registry: its class, its networks, and the models it uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ganart_zoo.contract.draws import key_seed
from ganart_zoo.contract.errors import GanartError, PluginFaultError, SettingsError
from ganart_zoo.contract.models import Model
from ganart_zoo.data.pictures import Data
from ganart_zoo.registry import Entry, RecipeEntry, Zoo
from ganart_zoo.registry.build import Builder
from ganart_zoo.registry.settings import load_object
from ganart_zoo.training.recipe import Recipe
from ganart_zoo.training.settings import RunSettings

__all__ = ["build_network", "build_recipe", "recipe_class", "used_conditions"]


def recipe_class(zoo: Zoo, recipe: RecipeEntry) -> type[Recipe]:
    """Import the class of a recipe.

    Raises:
        PluginFaultError: It cannot be imported, or does not derive from `Recipe`.
    """
    try:
        loaded = load_object(recipe, recipe.spec.factory, "factory")
        if not (isinstance(loaded, type) and issubclass(loaded, Recipe)):
            cause = f"{recipe.spec.factory} is not a class that derives from ganart_zoo.training.Recipe"
            raise PluginFaultError(recipe.fault("factory", cause))
    except PluginFaultError as error:
        zoo.report(error.fault, error)
        raise
    return loaded


def used_conditions(
    factory: type[Recipe], networks: Mapping[str, Entry], data: Data, asked: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the conditions that the networks will get: of `"labels"` and `"prompt"`.

    Args:
        factory: The recipe.
        networks: Role -> declaration.
        data: What is learned from.
        asked: The caller's choice; None: all that the recipe, the data and every network have.

    Raises:
        SettingsError: Something lacks a condition that was asked for or is needed.
    """
    of_data = [
        *(["labels"] if data.class_names else []),
        *(["prompt"] if data.prompts is not None else []),
    ]
    entries = networks.values()
    if asked is None:
        able = (name for name in of_data if all(name in entry.spec.capabilities for entry in entries))
        used = tuple(name for name in able if name in factory.takes)
    else:
        used = tuple(asked)
    for name in used:
        if name not in ("labels", "prompt"):
            raise SettingsError(f"condition {name!r} is unknown, expected 'labels' or 'prompt'")
        if name not in factory.takes:
            raise SettingsError(f"the recipe has no use for the condition {name!r}; leave it out")
        if name not in of_data:
            raise SettingsError(f"the data has no {name}, and the networks are to be conditioned on them")
        for entry in entries:
            if name not in entry.spec.capabilities:
                raise SettingsError(f"{entry.canonical} takes no {name}; choose another, or leave that condition out")
    for name in factory.needs:
        if name not in used:
            lacking = f"the data has no {name}" if name not in of_data else "that condition was left out"
            raise SettingsError(f"the recipe needs the condition {name!r}, and {lacking}")
    for entry in entries:
        can = entry.spec.capabilities
        needs = sorted({*can} & {"labels", "prompt"} & {*factory.takes})
        if not used and needs and "unconditional" not in can:
            raise SettingsError(
                f"{entry.canonical} needs {' or '.join(needs)}, and the data or another network has none"
            )
    return used


def build_network(
    zoo: Zoo,
    factory: type[Recipe],
    recipe: RecipeEntry,
    role: str,
    settings: Mapping[str, Any],
    config: RunSettings,
    data: Data,
    conditions: Sequence[str],
    *,
    fetch: bool,
) -> Model:
    """Build one network with what follows from the data, its first weights drawn from the seed.

    Args:
        zoo: Where the model is.
        factory: The recipe's class.
        recipe: Its declaration.
        role: Of the network.
        settings: `{"model": name, **settings}`; `weights` in place of what the recipe starts from.
        config: Of the recipe.
        data: What is learned from.
        conditions: Those that are used.
        fetch: Download missing weights.

    Raises:
        GanartError: A setting does not fit; see `Zoo.create`.
    """
    chosen = dict(settings)
    name = chosen.pop("model")
    known = zoo.settings(name).config_names
    follows = factory.network_settings(role, config, data, conditions)
    chosen = {
        **{key: value for key, value in follows.items() if key in known},
        "weights": "default" if role in recipe.spec.pretrained else None,
        **chosen,
    }
    names = chosen.get("class_names")
    if "labels" in conditions and names is not None and len(names) != len(data.class_names):
        raise SettingsError(
            f"{zoo.entry(name).canonical}: class_names has {len(names)} names, and the data {len(data.class_names)} "
            "classes"
        )
    # built on the CPU, so that a seed gives the same first weights on every device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key_seed(config.seed, role))
        return zoo.create(name, fetch=fetch, **chosen)


def build_recipe(
    zoo: Zoo,
    factory: type[Recipe],
    recipe: RecipeEntry,
    config: RunSettings,
    networks: Mapping[str, Model],
    uses: Mapping[str, Any],
    *,
    fetch: bool,
) -> Recipe:
    """Build a recipe, with the models it uses.

    Raises:
        GanartError: A model it uses cannot be built, or the recipe refuses its settings.
        PluginFaultError: The recipe broke; the fault is reported too.
    """
    try:
        used = Builder(zoo, torch.device("cpu"), None, fetch).uses(recipe, uses)
        return factory(config, networks, **used)
    except PluginFaultError as error:
        zoo.report(error.fault, error)
        raise
    except (GanartError, KeyboardInterrupt):
        raise
    except BaseException as error:
        broken = PluginFaultError(recipe.fault("factory", error))
        zoo.report(broken.fault, broken)
        raise broken from error
