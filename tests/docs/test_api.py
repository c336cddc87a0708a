"""docs/api.md lists every public name, task, metric and recipe, and gives each module a reference."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import ganart_zoo
from ganart_zoo import Zoo
from ganart_zoo.cli.group import CORE_COMMANDS
from ganart_zoo.metrics.table import METRICS
from tests.docs.pages import ROOT

API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
NOT_PUBLIC = {"bench", "cli", "running", "tasks"}
"""Rooms whose names are for the core alone; of tasks, those that are commands are public."""


def public_modules() -> list[str]:
    """The modules that outsiders import from: each room, and each task that is a command."""
    rooms = [room.name for room in pkgutil.iter_modules(ganart_zoo.__path__) if not room.name.startswith("_")]
    return ["ganart_zoo", *(f"ganart_zoo.{room}" for room in rooms if room not in NOT_PUBLIC), *tasks()]


def tasks() -> list[str]:
    folder = ROOT / "ganart_zoo" / "tasks"
    return [f"ganart_zoo.tasks.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem in CORE_COMMANDS]


def rows(heading: str) -> dict[str, str]:
    """First cell without its backticks -> the rest of the row, of the table under a heading."""
    section = API.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| `([^`|]+)` \|(.*)\|$", section, re.MULTILINE)
    assert found, f"docs/api.md has no table under {heading!r}"
    return dict(found)


@pytest.mark.parametrize("module", public_modules())
def test_every_public_name_is_listed(module: str) -> None:
    names = sorted((name for name in importlib.import_module(module).__all__ if name[0] != "_"), key=str.lower)
    listed = re.findall(r"`([^`]+)`", rows("Names").get(module, ""))
    row = f"| `{module}` | {', '.join(f'`{name}`' for name in names)} |"
    assert sorted(listed) == sorted(names), f"the row in docs/api.md should be\n{row}"


def test_no_other_module_is_listed() -> None:
    assert sorted(rows("Names")) == sorted(public_modules())


def test_every_task_is_listed() -> None:
    assert sorted(rows("Tasks")) == sorted(name.rpartition(".")[2] for name in tasks())


def test_every_recipe_of_this_repository_is_listed() -> None:
    assert sorted(rows("Recipes")) == sorted(entry.spec.name for entry in Zoo().recipes())


def test_every_metric_is_listed_with_its_direction() -> None:
    listed = {name: rest.rpartition("|")[2].strip() for name, rest in rows("Metrics").items()}
    assert listed == {metric.name: metric.better for metric in METRICS}


@pytest.mark.parametrize("module", public_modules())
def test_every_public_module_has_a_reference(module: str) -> None:
    pages = [API, (ROOT / "docs" / "perceptual.md").read_text(encoding="utf-8")]
    pattern = rf"^\.\. auto(module|class):: {re.escape(module)}\b"
    assert any(re.search(pattern, page, re.MULTILINE) for page in pages)
