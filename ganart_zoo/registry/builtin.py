"""The recipes that ganart-zoo itself declares, as a plugin would. Torch-free."""

from __future__ import annotations

import pluggy

from ganart_zoo.contract.hooks import PROJECT
from ganart_zoo.contract.recipes import RecipeSpec
from ganart_zoo.registry.discovery import Candidate, Plugin
from ganart_zoo.registry.names import RecipeEntry

__all__ = ["GAN", "builtin_recipes"]

_DISTRIBUTION = "ganart-zoo"
_RECIPES = (
    RecipeSpec(
        name="gan",
        summary="Trains a generator against a critic.",
        license="Apache-2.0",
        factory="ganart_zoo.training.gan.recipe:Gan",
        config="ganart_zoo.training.gan.config:TrainConfig",
        networks={"generator": "generator", "critic": "critic"},
        main="generator",
        paper="https://arxiv.org/abs/1406.2661",
    ),
)

GAN = f"{_DISTRIBUTION}/gan"
"""The canonical name of the default recipe, which also applies to runs written before recipes existed."""


def builtin_recipes(version: str) -> tuple[RecipeEntry, ...]:
    """Return the entries of the recipes in the core, which are available whatever plugins are listed or disabled."""
    manager = pluggy.PluginManager(PROJECT)
    plugin = Plugin(Candidate(_DISTRIBUTION, _DISTRIBUTION, version, None), manager.hook, 0.0)
    return tuple(RecipeEntry(spec, plugin) for spec in _RECIPES)
