"""The fixture `site`: a folder on sys.path where distributions are laid, with the healthy plugin in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import healthy
from .distributions import install


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path that holds the healthy plugin. What is imported from it is forgotten afterwards."""
    monkeypatch.delenv("GANART_DISABLE_PLUGINS", raising=False)
    before = set(sys.modules)
    folder = tmp_path / "site"
    install(folder, healthy.DISTRIBUTION, healthy.MODULES)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
