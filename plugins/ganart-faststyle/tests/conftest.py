"""Fixtures shared by the tests of the feed-forward models."""

from __future__ import annotations

from pathlib import Path

import ganart_faststyle
import pytest

from ganart_zoo import Zoo


@pytest.fixture(scope="session")
def zoo():
    return Zoo(plugins=[ganart_faststyle])


@pytest.fixture(scope="session")
def published() -> Path:
    """The published 26-style network; tests that need it skip without it."""
    for folder in Path(__file__).resolve().parents:
        path = folder / "shared" / "data" / "weights" / "multistyle26.safetensors"
        if path.is_file():
            return path
    pytest.skip("shared/data is not beside this checkout")
