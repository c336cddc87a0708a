"""Listing costs neither torch nor pydantic, and checking costs no torch; seen in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest


def loaded_after(code: str) -> set[str]:
    """Return which of the heavy packages a fresh interpreter has loaded after `code`."""
    report = "import sys; print(*{'torch', 'pydantic', 'numpy', 'PIL'} & {*sys.modules})"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import ganart_zoo",
        "import ganart_zoo.contract",
        "from ganart_zoo import ModelSpec, Use, Weights, WeightsFile, GanartError, hookimpl, Zoo",
        "from ganart_zoo import Zoo; zoo = Zoo(); [zoo.display_name(entry) for entry in zoo.list()]; zoo.faults",
    ],
)
def test_listing_loads_nothing_heavy(code: str) -> None:
    assert loaded_after(code) == set()


def test_checking_loads_no_torch() -> None:
    assert loaded_after("from ganart_zoo import Zoo; assert Zoo().check() == ()") <= {"pydantic"}


def test_settings_load_no_torch() -> None:
    code = "from ganart_zoo import Zoo; zoo = Zoo()\nfor entry in zoo.list(): zoo.settings(entry.canonical)"
    assert loaded_after(code) <= {"pydantic"}


def test_every_public_name_is_there() -> None:
    code = """
import ganart_zoo, ganart_zoo.contract
for module in (ganart_zoo, ganart_zoo.contract):
    assert sorted(module.__all__) == dir(module), module
    for name in module.__all__:
        getattr(module, name)
    try:
        module.no_such_name
    except AttributeError as error:
        assert "no_such_name" in str(error)
"""
    assert "torch" in loaded_after(code)
