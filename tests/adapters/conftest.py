"""Puts the toy plugins where their models can be imported."""

from __future__ import annotations

from tests.service.conftest import busy, painting, photo, shapes, zoo

__all__ = ["busy", "painting", "photo", "shapes", "zoo"]
