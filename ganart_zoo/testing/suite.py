"""What `pytest --ganart DIST` collects; its cases come from `pytest_plugin`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganart_zoo.testing.whole import Case

__all__: list[str] = []


def test_conformance(ganart_case: Case) -> None:
    """One check of one model or recipe."""
    ganart_case()
