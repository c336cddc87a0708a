"""Reads a Markdown page: its blocks of code, and the commands in its tables, in the order in which they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "inline_code", "read_page"]

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "plugins").glob("*/README.md"))
)
"""Paths of all pages, relative to the checkout. A new page is in it by itself."""

BARE = {"ganart list", "ganart doctor"}
"""Commands that are complete without an argument; others of one word are only named."""

_FENCE = re.compile(r"^```(?P<language>\S*)$")
_FILE = re.compile(r"^`(?P<path>[\w./-]+)`.*:$")
_SPAN = re.compile(r"(?<!`)(?P<ticks>`+)(?!`)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)")


@dataclass(frozen=True)
class Block:
    """A piece of code in a page."""

    page: str
    line: int
    """Where its text begins, counted from 1."""
    language: str
    """What follows the fence; `sh` for a command in a table, and `flags` for options of the command above the table."""
    text: str
    path: str | None = None
    """The file that the block shows: the line before it begins with the name in backticks and ends with a colon."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read_page(page: str) -> list[Block]:
    """Return the blocks of a page in order.

    A table's cell is run if it holds code that begins with `ganart`, or, in a column headed `try`, with a dash: those
    are options for the last command above the table.
    """
    return list(_blocks(page, (ROOT / page).read_text(encoding="utf-8").splitlines()))


def inline_code(page: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of all code within the prose and the tables of a page."""
    fenced = False
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield from ((number, match["code"].strip()) for match in _SPAN.finditer(line))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    start: int | None = None
    language, path = "", None
    header: list[str] = []
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if start is not None:
            if line == "```":
                yield Block(page, start, language, "\n".join(lines[start - 1 : number - 1]) + "\n", path)
                start = None
        elif fence:
            start, language = number + 1, fence["language"]
            named = _FILE.match(_last_text(lines[: number - 1]))
            path = named["path"] if named else None
        elif line.startswith("|"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            header = header or cells
            yield from _commands(page, number, header, cells)
        else:
            header = []
    if start is not None:
        raise AssertionError(f"{page}:{start - 1}: the block is not closed")


def _last_text(lines: list[str]) -> str:
    return next((line for line in reversed(lines) if line.strip()), "")


def _commands(page: str, number: int, header: list[str], cells: list[str]) -> Iterator[Block]:
    for title, cell in zip(header, cells, strict=True):
        for match in _SPAN.finditer(cell):
            code = match["code"].strip().replace("\\|", "|")
            if re.match(r"ganart \w+ [^A-Z…]", code) or code in BARE:
                yield Block(page, number, "sh", code)
            elif title == "try" and code.startswith("-"):
                yield Block(page, number, "flags", code)
