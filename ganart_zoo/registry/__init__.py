"""The registry: finds plugins, names models, keeps weights, builds. Torch-free until a model is built."""

from ganart_zoo.contract.fault import Fault
from ganart_zoo.registry.discovery import Plugin
from ganart_zoo.registry.names import Entry, RecipeEntry
from ganart_zoo.registry.zoo import Zoo

__all__ = ["Entry", "Fault", "Plugin", "RecipeEntry", "Zoo"]
