"""How the command line shows things: data on standard output, messages on standard error."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ganart_zoo.imaging.record import Record

__all__ = ["BROKEN", "INTERRUPTED", "MISUSED", "emit_json", "fit_width", "note", "record_data", "table"]

BROKEN, MISUSED, INTERRUPTED = 1, 2, 130
"""Exit codes: something is broken; the input is wrong; stopped with Ctrl-C."""

_PIPE_WIDTH = 160
"""Columns of a table that is written to a file or a pipe."""


def note(message: str) -> None:
    """Print a message on standard error."""
    click.echo(f"ganart: {message}", file=sys.stderr)  # err=True would write into a progress bar


def emit_json(data: Any) -> None:
    """Print data as JSON on standard output."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(data, indent=2)
    click.echo(text)


def record_data(record: Record) -> Any:
    """Return the record of a picture as plain JSON data."""
    return json.loads(record.to_text())


def fit_width(line: str) -> str:
    """Cut a line to the terminal's width; where the output is not a terminal, return it as it is."""
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
