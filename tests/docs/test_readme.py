"""The README plugin is installed as printed, and runs; the documentation names every hook, command and variable."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ganart_zoo.contract import hooks
from tests.docs.runner import pip_install
from tests.docs.world import World

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def halftone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to put on the path, with the README's plugin pip-installed into it."""
    target = tmp_path_factory.mktemp("target")
    world = World(tmp_path_factory.mktemp("world"))
    pip_install(world.path("halftone"), target)
    return target


def ganart(path: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    command = [sys.executable, "-m", "ganart_zoo", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readme_plugin_is_listed(halftone: Path) -> None:
    listed = json.loads(ganart(halftone, "list", "--plugin", "ganart-halftone", "--json"))
    assert [model["canonical"] for model in listed] == ["ganart-halftone/halftone"]


def test_readme_plugin_makes_its_dots(halftone: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 48), (128, 128, 128)).save(tmp_path / "photo.png")
    out = tmp_path / "out.png"
    ganart(halftone, "stylize", str(tmp_path / "photo.png"), "--model", "halftone", "--set", "dot=8", "-o", str(out))
    with Image.open(out) as picture:
        grey = picture.convert("L")
        assert grey.size == (64, 48)
        # the screen has period 16 in both directions, and is brightest where the product of sines is least
        assert grey.getpixel((4, 12)) > 250
        assert grey.getpixel((4, 4)) < 5
        assert grey.getpixel((4, 4)) == grey.getpixel((20, 20))


def test_documentation_names_every_hook_and_argument() -> None:
    plugins = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    for name, hook in inspect.getmembers(hooks, inspect.isfunction):
        if not name.startswith("ganart_"):
            continue
        assert name in plugins
        for argument in inspect.signature(hook).parameters:
            assert f"{argument}:" in (inspect.getdoc(hook) or ""), f"{name}: {argument} is not documented"


def test_documentation_names_every_environment_variable() -> None:
    documented = (ROOT / "docs" / "cli.rst").read_text(encoding="utf-8")
    sources = [*(ROOT / "ganart_zoo").rglob("*.py"), ROOT / "setup.py"]
    used = {name for file in sources for name in re.findall(r"\bGANART_[A-Z_]+\b", file.read_text(encoding="utf-8"))}
    assert used, "no variable found: the pattern is wrong"
    assert sorted(name for name in used if name not in documented) == []


def test_readme_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_command_is_in_the_readme_or_the_manual() -> None:
    from ganart_zoo.cli import cli

    pages = ["styling", "dreaming", "imagine", "generating", "plugins", "publishing", "serving", "benchmarks"]
    manual = README + "".join((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") for page in pages)
    import click

    context = click.Context(cli)
    for name in cli.list_commands(context):
        assert f"ganart {name}" in manual, f"{name} is in neither README.md nor {pages} of docs/"
