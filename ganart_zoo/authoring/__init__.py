"""For authors of plugins: `new_package` makes a complete package.

Importing this package loads neither torch nor pydantic nor any plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganart_zoo.contract.lazy import lazy_names

if TYPE_CHECKING:
    from ganart_zoo.authoring.naming import Names, names_of
    from ganart_zoo.authoring.scaffold import NEW_KINDS, new_package

_LAZY = {
    **dict.fromkeys(("Names", "names_of"), "naming"),
    **dict.fromkeys(("NEW_KINDS", "new_package"), "scaffold"),
}

__all__ = ["NEW_KINDS", "Names", "names_of", "new_package"]

__getattr__ = lazy_names(__name__, _LAZY)


def __dir__() -> list[str]:
    return sorted(__all__)
