"""The conformance kit: what every model of a kind must do, as checks that a plugin's own tests run.

    from ganart_zoo.testing import Subject, checks_for

    SUBJECT = Subject(Zoo(plugins=[ganart_mine]), "ganart-mine/blur", options={"steps": 3})

    @pytest.mark.parametrize("check", checks_for(SUBJECT), ids=lambda check: check.__name__)
    def test_conformance(check):
        check(SUBJECT)

Each check is a function of a `Subject` that raises `AssertionError` with one line of what was expected. `examine` runs
all checks of a distribution with inputs derived from its declarations, and so does `pytest --ganart DIST`. Importing
this package loads nothing. `RecipeSubject` and `recipe_checks` are the same for recipes; they need the extra
`ganart-zoo[train]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganart_zoo.contract.lazy import lazy_names

if TYPE_CHECKING:
    from ganart_zoo.testing.conformance import checks_for
    from ganart_zoo.testing.recipes import RecipeCheck, RecipeSubject, recipe_checks
    from ganart_zoo.testing.subject import Check, Subject
    from ganart_zoo.testing.whole import examine

_LAZY = {
    "checks_for": "conformance",
    **dict.fromkeys(("RecipeCheck", "RecipeSubject", "recipe_checks"), "recipes"),
    **dict.fromkeys(("Check", "Subject"), "subject"),
    "examine": "whole",
}

__all__ = ["Check", "RecipeCheck", "RecipeSubject", "Subject", "checks_for", "examine", "recipe_checks"]


__getattr__ = lazy_names(__name__, _LAZY)


def __dir__() -> list[str]:
    return sorted(__all__)
