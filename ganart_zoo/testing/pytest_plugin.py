"""`pytest --ganart DIST`: the conformance kit on every model and recipe of an installed distribution.

pytest loads this module in every environment that has ganart-zoo, so it imports nothing until the option is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

__all__: list[str] = []

_SUITE = Path(__file__).with_name("suite.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("ganart-zoo")
    group.addoption(
        "--ganart",
        metavar="DIST",
        action="append",
        default=[],
        help="Hold the models and recipes of this installed distribution to the conformance kit; repeatable.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect the suite: alone, or beside the files that were named on the command line."""
    if config.getoption("--ganart"):
        named = config.args_source == type(config).ArgsSource.ARGS
        config.args = [*(config.args if named else ()), str(_SUITE)]


def pytest_generate_tests(metafunc: Any) -> None:
    """Give the suite its cases."""
    if "ganart_case" in metafunc.fixturenames:
        from packaging.utils import canonicalize_name

        from ganart_zoo.registry import Zoo
        from ganart_zoo.testing.whole import cases

        zoo = Zoo()
        found = []
        for name in metafunc.config.getoption("--ganart"):
            of_it = cases(zoo, canonicalize_name(name))
            if not of_it:
                import pytest

                raise pytest.UsageError(
                    f"--ganart {name}: no model or recipe of an installed distribution can be checked"
                )
            found += of_it
        ids = [f"{case.model}-{case.check.__name__}" for case in found]
        metafunc.parametrize("ganart_case", found, ids=ids)
