"""The fixtures of the verbs: what they share is tested on the same models."""

from __future__ import annotations

from tests.tasks.conftest import painting, photo, shapes, zoo

__all__ = ["painting", "photo", "shapes", "zoo"]
