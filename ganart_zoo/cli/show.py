"""How the command line shows things: data on standard output, messages on standard error."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import click

__all__ = ["BROKEN", "INTERRUPTED", "MISUSED", "emit_json", "fit_width", "json_option", "note", "table"]

BROKEN, MISUSED, INTERRUPTED = 1, 2, 130
"""Exit codes: something is broken; the input is at fault; stopped with Ctrl-C."""

_PIPE_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, which have no width of their own."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")


def note(message: str) -> None:
    """Tell the user something, on standard error."""
    click.echo(f"ganart: {message}", file=sys.stderr)  # not err=True, which goes around a progress bar, through it


def emit_json(data: Any) -> None:
    """Print data as JSON on standard output."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def fit_width(line: str) -> str:
    """Cut a line to the terminal's width; where the output is no terminal, return all of it."""
    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else f"{line[: width - 1]}…"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headers, the last column wrapped to the terminal's width."""
    from rich import box  # costs as much time as the rest of the program
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for position, header in enumerate(headers):
        last = position == len(headers) - 1
        made.add_column(header, overflow="fold", ratio=1 if last else None, no_wrap=False)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(made)
