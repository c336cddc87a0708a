"""The models that `imagine` takes when none are named. Torch-free."""

from __future__ import annotations

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry import Zoo

__all__ = ["DEFAULT_GENERATOR_PACKAGE", "default_generator"]

DEFAULT_GENERATOR_PACKAGE = "ganart-latent-flow"


def default_generator(zoo: Zoo) -> str:
    """Return the name of the generator of `ganart-latent-flow`.

    Raises:
        SettingsError: That package is not installed, or offers no generator.
    """
    for entry in zoo.list(kind="generator"):
        if entry.plugin.distribution == DEFAULT_GENERATOR_PACKAGE:
            return entry.canonical
    raise SettingsError(
        f"no generator was named, and the default one is not installed; pip install {DEFAULT_GENERATOR_PACKAGE}, or "
        "name one of ganart list --kind generator"
    )
