"""What a plugin author reads: declarations, hooks, the kinds' base classes, and the values they exchange.

Importing this package costs neither torch nor pydantic; the names that need them load when first touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganart_zoo.contract.errors import (
    AmbiguousModelError,
    GanartError,
    ImageError,
    ModelError,
    OfflineError,
    PluginFaultError,
    SettingsError,
    UnknownModelError,
    WeightsError,
    WeightsMissingError,
    did_you_mean,
)
from ganart_zoo.contract.events import OnStep, RunEvent, StepEvent
from ganart_zoo.contract.hooks import hookimpl
from ganart_zoo.contract.lazy import lazy_names
from ganart_zoo.contract.provenance import Provenance
from ganart_zoo.contract.recipes import RecipeSpec
from ganart_zoo.contract.spec import CAPABILITIES, KINDS, RESERVED_SETTINGS, ModelSpec, Use, Weights, WeightsFile

if TYPE_CHECKING:
    from ganart_zoo.contract.condition import Condition, Previous, Style
    from ganart_zoo.contract.labels import class_labels
    from ganart_zoo.contract.models import (
        Backbone,
        Critic,
        CriticOutput,
        Generator,
        LayerInfo,
        Model,
        StyleGenerator,
        StyleTransfer,
    )
    from ganart_zoo.contract.rng import Rng, generator, per_row, randn
    from ganart_zoo.contract.settings import Field, Settings, field_validator, model_validator
    from ganart_zoo.contract.tensors import load_tensors, unwrap_names

_LAZY = {
    **dict.fromkeys(("Condition", "Previous", "Style"), "condition"),
    **dict.fromkeys(
        (
            "Backbone",
            "Critic",
            "CriticOutput",
            "Generator",
            "LayerInfo",
            "Model",
            "PictureRows",
            "StyleGenerator",
            "StyleTransfer",
        ),
        "models",
    ),
    **dict.fromkeys(("Rng", "generator", "per_row", "randn"), "rng"),
    **dict.fromkeys(("Field", "Settings", "field_validator", "model_validator"), "settings"),
    "class_labels": "labels",
    **dict.fromkeys(("load_tensors", "unwrap_names"), "tensors"),
}

__all__ = [
    "CAPABILITIES",
    "KINDS",
    "RESERVED_SETTINGS",
    "AmbiguousModelError",
    "Backbone",
    "Condition",
    "Critic",
    "CriticOutput",
    "Field",
    "GanartError",
    "Generator",
    "ImageError",
    "LayerInfo",
    "Model",
    "ModelError",
    "ModelSpec",
    "OfflineError",
    "OnStep",
    "PluginFaultError",
    "Previous",
    "Provenance",
    "RecipeSpec",
    "Rng",
    "RunEvent",
    "Settings",
    "SettingsError",
    "StepEvent",
    "Style",
    "StyleGenerator",
    "StyleTransfer",
    "UnknownModelError",
    "Use",
    "Weights",
    "WeightsError",
    "WeightsFile",
    "WeightsMissingError",
    "class_labels",
    "did_you_mean",
    "field_validator",
    "generator",
    "hookimpl",
    "load_tensors",
    "model_validator",
    "per_row",
    "randn",
    "unwrap_names",
]


__getattr__ = lazy_names(__name__, _LAZY)


def __dir__() -> list[str]:
    return sorted(__all__)
