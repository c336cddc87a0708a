"""The examples in the docstrings of the contract and the registry run and give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import ganart_zoo.contract
import ganart_zoo.registry


def modules_of(package: ModuleType) -> list[str]:
    return [package.__name__, *(found.name for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."))]


@pytest.mark.parametrize("name", [*modules_of(ganart_zoo.contract), *modules_of(ganart_zoo.registry)])
def test_docstring_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    documented = {
        test.name
        for name in ("contract.errors", "contract.rng", "contract.spec", "registry.zoo")
        for test in finder.find(importlib.import_module(f"ganart_zoo.{name}"))
        if test.examples
    }
    assert {"ganart_zoo.contract.rng.randn", "ganart_zoo.contract.spec.ModelSpec", "ganart_zoo.registry.zoo.Zoo"} <= (
        documented
    )
