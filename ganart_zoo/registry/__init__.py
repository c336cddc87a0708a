"""The registry: finds plugins, names models, stores weights and builds models. Torch-free until it builds one."""

from ganart_zoo.contract.fault import Fault
from ganart_zoo.registry.discovery import Plugin
from ganart_zoo.registry.names import Entry, RecipeEntry
from ganart_zoo.registry.zoo import Zoo

__all__ = ["Entry", "Fault", "Plugin", "RecipeEntry", "Zoo"]
