"""Puts the tiny plugin where its models can be imported, and brings its fixtures."""

from __future__ import annotations

import sys
from pathlib import Path

SITE = Path(__file__).parents[1] / "tasks" / "site"
if str(SITE) not in sys.path:
    sys.path.insert(0, str(SITE))

from ganart_tiny.fixtures import painting, photo, shapes, zoo  # noqa: E402

__all__ = ["painting", "photo", "shapes", "zoo"]
