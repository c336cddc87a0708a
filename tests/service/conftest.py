"""Puts the busy plugin and those of the tasks where their models can be imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SITES = (Path(__file__).parent / "site", Path(__file__).parents[1] / "tasks" / "site")
for site in SITES:
    if str(site) not in sys.path:
        sys.path.insert(0, str(site))

import ganart_busy  # noqa: E402
from ganart_tiny.fixtures import painting, photo, shapes, zoo  # noqa: E402

from ganart_zoo import Zoo  # noqa: E402

__all__ = ["painting", "photo", "shapes", "zoo"]


@pytest.fixture
def busy() -> Zoo:
    """A zoo of the busy plugin."""
    return Zoo(plugins=[ganart_busy], strict=True)
