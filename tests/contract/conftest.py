"""The fixture `zoo`: the toy plugins and nothing else."""

from __future__ import annotations

import pytest

from ganart_zoo import Zoo

from .toys import ZOO


@pytest.fixture(scope="session")
def zoo() -> Zoo:
    """A strict zoo of the toy plugins."""
    return ZOO
