"""The commit hooks and `make lint` run the same commands, over the same files, and download nothing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    for hook in repository["hooks"]
]


def lint_commands() -> list[str]:
    """Return the recipe of the target `lint`, its variables written out and lists of files left off."""
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert recipe is not None
    lines = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    return [re.sub(r"\s*\$\(\w+\)$", "", line) for line in lines]


def test_hooks_and_make_lint_run_the_same_commands() -> None:
    assert [hook["entry"] for hook in HOOKS] == lint_commands()


def test_hooks_are_local_and_use_installed_tools() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert {repository["repo"] for repository in repositories} == {"local"}
    assert {hook["language"] for hook in HOOKS} == {"system"}
    assert not any("additional_dependencies" in hook for hook in HOOKS)


def test_the_hook_of_clang_format_takes_the_files_that_make_takes() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    (pattern,) = (hook["files"] for hook in HOOKS if hook["id"] == "clang-format")
    by_hook = {file for file in listed.stdout.splitlines() if re.search(pattern, file)}
    folders = re.findall(r"find (\S+) -type f", MAKEFILE)
    by_make = {file for file in listed.stdout.splitlines() if file.startswith(tuple(f"{each}/" for each in folders))}
    assert by_hook == by_make != set()


def test_mypy_checks_every_room_of_the_project() -> None:
    settings = (ROOT / "pyproject.toml").read_text("utf-8").partition("[tool.mypy]")[2].partition("\n[[")[0]
    (files,) = re.findall(r"^files = (\[.*\])$", settings, re.MULTILINE)
    assert {"ganart_zoo", "plugins/*/src", "tools", "benchmarks", "examples"} <= set(yaml.safe_load(files))
    assert "\nstrict = true\n" in settings
