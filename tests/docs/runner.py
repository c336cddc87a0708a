"""Runs the blocks of one page in a folder, as a reader would, but in this process: shell commands and Python."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, Block
from tests.docs.rules import NOT_RUN, ONE_PROCESS, PRELUDES, SMALLER_COMMANDS, SMALLER_PYTHON, STAND_INS
from tests.docs.world import World, ganart

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Runner", "commands_of", "modules_restored", "pip_install", "reason_not_run"]


def pip_install(source: Path, target: Path) -> None:
    """Install the package at `source` into the folder `target`; nothing is downloaded."""
    options = ["-q", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def commands_of(block: Block) -> list[str]:
    """Return the commands of a shell block, without comments, continued lines joined."""
    joined = block.text.replace("\\\n", " ")
    lines = [shlex.split(line, comments=True, posix=False) for line in joined.splitlines()]
    return [command for line in lines for command in _split(" ".join(line)) if command]


def reason_not_run(block: Block, text: str) -> str | None:
    """Return why a command or block is not run, or None."""
    return next((why for (page, start), why in NOT_RUN.items() if page == block.page and text.startswith(start)), None)


def _split(line: str) -> list[str]:
    return [part.strip() for part in line.split("&&")]


class Runner:
    """One page's blocks, in order, in one folder."""

    def __init__(self, folder: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._world = world
        self._monkeypatch = monkeypatch
        self._names: dict[str, Any] = {"__name__": "page"}
        self._above = ""
        self._begun = False
        monkeypatch.chdir(folder)

    def run(self, block: Block) -> None:
        """Run a block, or write the file that it shows; other languages are for reading only."""
        if block.path:
            self._world.bring(block.text, self.folder)
            path = self.folder / block.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            for command in commands_of(block):
                if reason_not_run(block, command) is None:
                    self._above = command
                    self._shell(command)
        elif block.language == "flags":
            self._shell(f"{self._above} {block.text}")
        elif block.language == "python":
            if reason_not_run(block, block.text) is None:
                self._python(block)
        elif block.language == "toml":
            tomllib.loads(block.text)
        else:
            assert block.language.startswith("{"), f"a block of {block.language!r} is neither run nor a directive"

    def _shell(self, command: str) -> None:
        command = re.sub(ONE_PROCESS, "ganart ", command)
        with self._monkeypatch.context() as patch:
            while assignment := re.match(r"([A-Z_]+)=(\S*) ", command):
                patch.setenv(assignment[1], assignment[2])
                command = command[assignment.end() :]
            program, _, rest = command.partition(" ")
            known = {"ganart": self._ganart, "pip": self._pip, "make": self._make}
            assert program in known, (
                f"{program}: teach it to tests/docs/runner.py, or say why not in NOT_RUN of rules.py"
            )
            known[program](rest)

    def _ganart(self, rest: str) -> None:
        for published, folder in STAND_INS:
            rest = re.sub(published, folder, rest)
        command = f"ganart {rest}"
        smaller = next((extra for pattern, extra in SMALLER_COMMANDS if re.search(pattern, command)), "")
        self._world.bring(command, self.folder)
        ganart(*shlex.split(f"{rest} {smaller}"))

    def _pip(self, rest: str) -> None:
        self._world.bring(rest, self.folder)
        action, *what = shlex.split(rest)
        assert action == "install", f"pip {rest}: only pip install is known here"
        for each in what:
            if each.startswith("."):
                target = self.folder / "site-packages"
                pip_install(self.folder / each, target)
                self._monkeypatch.syspath_prepend(target)
            elif not each.startswith("-"):
                _check_distribution(each)

    def _make(self, rest: str) -> None:
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert rest.split()[0] in targets, f"make {rest}: the Makefile has no such target"

    def _python(self, block: Block) -> None:
        if not self._begun:
            exec(textwrap.dedent(PRELUDES.get(block.page, "")), self._names)
            self._begun = True
        self._world.bring(block.text, self.folder)
        text = block.text
        for pattern, smaller in SMALLER_PYTHON:
            text = re.sub(pattern, smaller, text, flags=re.MULTILINE)
        known = set(self._names)
        exec(compile("\n" * (block.line - 1) + text, block.page, "exec"), self._names)
        for name in set(self._names) - known:
            if name.startswith("test_"):
                _run_test(self._names[name])


def _run_test(test: Any) -> None:
    """Call a test that a page defines, once for each value if it has one parameter of pytest's."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    for arguments in zip(*(mark.args[1] for mark in marks), strict=True) if marks else [()]:
        with contextlib.suppress(pytest.skip.Exception):
            test(*arguments)


def _check_distribution(requirement: str) -> None:
    """Check that this repository has the distribution, and the extras asked for."""
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    for path in (ROOT / "pyproject.toml", *(ROOT / "plugins").glob("*/pyproject.toml")):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        if project["name"] == wanted.name:
            missing = wanted.extras - set(project.get("optional-dependencies", {}))
            assert not missing, f"pip install {requirement}: {wanted.name} has no extra {missing}"
            return
    raise AssertionError(f"pip install {requirement}: this repository has no such distribution")


@contextlib.contextmanager
def modules_restored() -> Iterator[None]:
    """Forget the modules that the block imports from folders of its own, and what the import system found there."""
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if os.sep + "site-packages" + os.sep in file and str(ROOT) not in file:
                continue
            if "pytest-of" in file:
                del sys.modules[name]
        importlib.invalidate_caches()
