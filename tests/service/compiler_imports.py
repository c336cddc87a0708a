"""A program for `test_nothing_global`: runs every verb but training in one process, and looks for torch's compiler."""

from __future__ import annotations

import sys

import pytest

from ganart_zoo.service import VERBS

from .test_nothing_global import world  # noqa: F401  a fixture


@pytest.mark.parametrize("name", [name for name in VERBS if not name.startswith("train")])
def test_a_verb_does_not_import_the_compiler(world, name: str) -> None:  # noqa: F811
    zoo, requests = world
    VERBS[name].load()
    VERBS[name].call(zoo, VERBS[name].check(requests[name]))
    assert "torch._dynamo" not in sys.modules
