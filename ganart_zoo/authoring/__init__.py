"""For authors of plugins: `new_package` makes a complete package, and `check` looks for what is wrong with one.

Importing this package loads neither torch nor pydantic nor any plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganart_zoo.contract.lazy import lazy_names

if TYPE_CHECKING:
    from ganart_zoo.authoring.checking import Checked, check
    from ganart_zoo.authoring.naming import Names, names_of
    from ganart_zoo.authoring.rules import RULES, Finding, Rule
    from ganart_zoo.authoring.scaffold import NEW_KINDS, new_package

_LAZY = {
    **dict.fromkeys(("Checked", "check"), "checking"),
    **dict.fromkeys(("RULES", "Finding", "Rule"), "rules"),
    **dict.fromkeys(("Names", "names_of"), "naming"),
    **dict.fromkeys(("NEW_KINDS", "new_package"), "scaffold"),
}

__all__ = ["NEW_KINDS", "RULES", "Checked", "Finding", "Names", "Rule", "check", "names_of", "new_package"]

__getattr__ = lazy_names(__name__, _LAZY)


def __dir__() -> list[str]:
    return sorted(__all__)
