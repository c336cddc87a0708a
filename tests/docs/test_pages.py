"""Every block of code in the documentation runs, in order, page by page; what is not run carries a reason."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from ganart_zoo.cli import cli
from tests.docs.pages import PAGES, ROOT, inline_code, read_page
from tests.docs.rules import NOT_RUN, PRELUDES
from tests.docs.runner import Runner, commands_of, modules_restored
from tests.docs.world import World

pytest.importorskip("ganart_gatys")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language[:1] != "{" for b in read_page(page))])
def test_every_block_of_the_page_runs(page: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANART_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GANART_OFFLINE", "1")
    runner = Runner(tmp_path, world, monkeypatch)
    with modules_restored():
        for block in read_page(page):
            try:
                runner.run(block)
            except Exception as error:
                raise AssertionError(f"the block at {block} does not run: {error}") from error


def test_every_entry_of_the_allow_list_matches_a_block() -> None:
    texts = {page: [*_texts(page)] for page in PAGES}
    unused = [key for key in NOT_RUN if not any(text.startswith(key[1]) for text in texts.get(key[0], []))]
    assert unused == []
    assert sorted(set(PRELUDES) - set(PAGES)) == []


def _texts(page: str) -> list[str]:
    blocks = read_page(page)
    return [text for block in blocks for text in (commands_of(block) if block.language == "sh" else [block.text])]


def test_commands_in_the_prose_exist() -> None:
    """`ganart X --flag` in a sentence names a command and options that there are."""
    context = click.Context(cli)
    wrong = []
    for page in PAGES:
        for line, code in inline_code(page):
            match = re.match(r"ganart ([a-z]+)", code)
            command = cli.get_command(context, match[1]) if match else None
            if match and command is None:
                wrong.append(f"{page}:{line}: {code}")
            elif command is not None and not isinstance(command, click.Group):
                options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
                options |= {"--help", "-h"}
                flags = re.findall(r"(?<=\s)--?[a-z][a-z-]*", code)
                wrong += [f"{page}:{line}: {code} has no option {flag}" for flag in flags if flag not in options]
    assert wrong == []


def test_lines_of_the_documentation_are_short() -> None:
    """Tables, pictures and commands may be longer, where a break would spoil them."""
    others = ("CHANGELOG.md", "CONTRIBUTING.md", "docs/cli.rst")
    long = [
        f"{page}:{number}"
        for page in (*(page for page in PAGES if not page.startswith("plugins")), *others)
        for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1)
        if len(line) >= 120 and not line.startswith(("|", "![", "ganart "))
    ]
    assert long == []
