"""The conformance kit: what every model of a kind must do, as checks that a plugin's own tests run.

    from ganart_zoo.testing import Subject, checks_for

    SUBJECT = Subject(Zoo(plugins=[ganart_mine]), "ganart-mine/blur", options={"steps": 3})

    @pytest.mark.parametrize("check", checks_for(SUBJECT), ids=lambda check: check.__name__)
    def test_conformance(check):
        check(SUBJECT)

Each check is a function of a `Subject` that raises `AssertionError` with one line of what was expected. Nothing here
needs pytest. `RecipeSubject` and `recipe_checks` are the same for recipes; they need the extra `ganart-zoo[train]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganart_zoo.testing.conformance import checks_for
from ganart_zoo.testing.subject import Check, Subject

if TYPE_CHECKING:
    from ganart_zoo.testing.recipes import RecipeCheck, RecipeSubject, recipe_checks

__all__ = ["Check", "RecipeCheck", "RecipeSubject", "Subject", "checks_for", "recipe_checks"]


def __getattr__(name: str) -> Any:
    if name in ("RecipeCheck", "RecipeSubject", "recipe_checks"):
        from ganart_zoo.testing import recipes

        return getattr(recipes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
