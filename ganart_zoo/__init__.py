"""ganart-zoo: a plugin-based model zoo for machine-made art.

    from ganart_zoo import Zoo
    model = Zoo().create("gatys")

Importing this package loads neither torch nor pydantic nor any plugin; names load when first touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganart_zoo.contract.lazy import lazy_names

if TYPE_CHECKING:
    from ganart_zoo.contract import (
        GanartError,
        ModelSpec,
        RecipeSpec,
        Use,
        Weights,
        WeightsFile,
        hookimpl,
    )
    from ganart_zoo.registry import Zoo

__version__ = "0.1.0"

_LAZY = {
    **dict.fromkeys(
        ("GanartError", "ModelSpec", "RecipeSpec", "Use", "Weights", "WeightsFile", "hookimpl"), "contract"
    ),
    "Zoo": "registry",
}

__all__ = ["GanartError", "ModelSpec", "RecipeSpec", "Use", "Weights", "WeightsFile", "Zoo", "__version__", "hookimpl"]


__getattr__ = lazy_names(__name__, _LAZY)


def __dir__() -> list[str]:
    return sorted(__all__)
