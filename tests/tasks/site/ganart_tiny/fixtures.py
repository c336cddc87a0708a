"""The fixtures that tests/tasks and tests/cli share."""

from __future__ import annotations

from pathlib import Path

import ganart_shapes
import numpy as np
import pytest
from PIL import Image

import ganart_tiny
from ganart_zoo import Zoo


@pytest.fixture
def zoo() -> Zoo:
    """A zoo of the tiny plugin alone, which has heard of no events yet."""
    ganart_tiny.EVENTS.clear()
    return Zoo(plugins=[ganart_tiny])


@pytest.fixture
def shapes() -> Zoo:
    """A zoo of the generators, the critic, and the tiny backbone."""
    ganart_tiny.EVENTS.clear()
    return Zoo(plugins=[ganart_tiny, ganart_shapes], strict=True)


def picture(path: Path, width: int, height: int, seed: int) -> Path:
    """Write noise as a picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A content of 40×30 pixels."""
    return picture(tmp_path / "photo.png", 40, 30, seed=1)


@pytest.fixture
def painting(tmp_path: Path) -> Path:
    """A style of 24×20 pixels."""
    return picture(tmp_path / "painting.png", 24, 20, seed=2)
