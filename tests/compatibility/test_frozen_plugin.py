"""A plugin that was written for API 0.1, as `ganart new` made it then, keeps working. Its files are never changed."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ganart_zoo import Zoo
from ganart_zoo.contract import Provenance
from ganart_zoo.testing import Check, Subject, checks_for

HERE = Path(__file__).parent
NAME = "frozen-oil/frozen_oil"
SHA256 = "23e9b4ae17ba0cb4ef16f9fc9628e9a8be1b02e70ca56af71a7958999d81aae3"
"""Of its Python files, in the order of their names."""


def frozen() -> ModuleType:
    """Import the plugin from this folder."""
    sys.path.insert(0, str(HERE))
    try:
        import frozen_oil  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(HERE))
    module: ModuleType = frozen_oil
    return module


SUBJECT = Subject(Zoo(plugins=[frozen()], strict=True), NAME, settings={"weights": None})


@pytest.mark.parametrize("check", checks_for(SUBJECT), ids=lambda check: check.__name__)
def test_it_keeps_passing_the_kit(check: Check) -> None:
    check(SUBJECT)


def test_its_weights_still_fit() -> None:
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution("frozen-oil")  # it is not installed, so its file is given by its path
    weights = HERE / "frozen_oil" / "weights" / "start.safetensors"
    model = SUBJECT.zoo.create(NAME, weights=weights)
    assert isinstance(model.provenance, Provenance)
    assert list(model.provenance.files.values()) == [hashlib.sha256(weights.read_bytes()).hexdigest()]


def test_nobody_has_changed_it() -> None:
    """Change the core so that this plugin works, not this plugin."""
    text = b"".join(path.read_bytes() for path in sorted((HERE / "frozen_oil").glob("*.py")))
    assert hashlib.sha256(text).hexdigest() == SHA256
