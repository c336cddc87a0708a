"""Shows a report: a table in the terminal, and a picture of bars against the roof."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ganart_zoo.bench.report import COMPILED, EAGER, SUBJECT, Report, Row, geometric_mean
from ganart_zoo.contract.errors import ModelError

__all__ = ["draw_bars", "print_report"]

_BAR_INCHES = 0.24


def print_report(report: Report, console: Console) -> None:
    """Print the machine, its roofs, and one table for each group of rows."""
    console.print(", ".join(f"{name} {value}" for name, value in report.machine.items()))
    for roofs in report.roofs:
        peaks = ", ".join(f"{dtype} {peak / 1e9:.0f} GFLOP/s" for dtype, peak in roofs["peak"].items())
        copies = f"{roofs['bandwidth'] / 1e9:.1f} GB/s, into fresh memory {roofs['fresh_bandwidth'] / 1e9:.1f}"
        console.print(f"roofs of {roofs['device']}: {peaks}; copying {copies}")
    for (op, direction, group, dtype, device), rows in report.groups().items():
        console.print()
        console.print(_table(f"{op} {direction}, {group}, {dtype} on {device}", rows))


def draw_bars(report: Report, path: Path) -> None:
    """Write a PNG that shows, for each row with counts, the share of the roof that each candidate reaches.

    Raises:
        ModelError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ModelError("the picture needs matplotlib; pip install 'ganart-zoo[bench]'") from error
    rows = [row for row in report.rows if row.floor]
    if not rows:
        return
    names = [name for name in (SUBJECT, EAGER, COMPILED) if any(name in row.seconds for row in rows)]
    figure = Figure(figsize=(9, 1.4 + _BAR_INCHES * len(rows) * len(names)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / max(len(names), 1)
    most = 105.0  # higher where caches, or an algorithm with fewer operations, beat the roof
    for number, name in enumerate(names):
        shares = [100 * row.floor / row.seconds[name] if name in row.seconds else 0 for row in rows]
        most = max(most, *shares)
        axes.barh([y + number * height for y in range(len(rows))], shares, height, label=name)
    axes.set_yticks([y + 0.4 - height / 2 for y in range(len(rows))], [row.title for row in rows], fontsize=7)
    axes.axvline(100, color="black", linewidth=1)
    axes.set(xlim=(0, most), ylim=(len(rows), -0.5), xlabel="% of the roof: max(FLOPs / peak, bytes / bandwidth)")
    machine = report.machine
    axes.set_title(f"{machine.get('processor')}, {machine.get('isa')}, {machine.get('threads')} threads", fontsize=9)
    figure.legend(loc="outside lower right", ncols=len(names))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _table(title: str, rows: Sequence[Row]) -> Table:
    rivals = [name for name in dict.fromkeys(name for row in rows for name in row.seconds) if name != SUBJECT]
    counts = ("GF/s", "GB/s", "% of roof") if any(row.floor for row in rows) else ()
    pictures = ("images/s",) if any(row.images for row in rows) else ()
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("shape")
    for header in ("ms", *pictures, *counts, *(f"x {name}" for name in rivals)):
        table.add_column(header, justify="right")
    for row in rows:
        counted = [f"{row.rate / 1e9:.0f}", f"{row.throughput / 1e9:.1f}", _figure(row.of_roof, ".0%")]
        ratios = [_figure(row.times(name), ".2f") for name in rivals]
        rates = [_figure(row.images_rate, ".0f")][: len(pictures)]
        table.add_row(row.shape, f"{row.seconds[SUBJECT] * 1e3:.3f}", *rates, *counted[: len(counts)], *ratios)
    if len(rows) > 1:
        known = [[ratio for row in rows if (ratio := row.times(name)) is not None] for name in rivals]
        means = [f"{geometric_mean(ratios):.2f}" for ratios in known]
        table.add_row(Text("geometric mean", style="italic"), "", *("" for _ in (*pictures, *counts)), *means)
    return table


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
