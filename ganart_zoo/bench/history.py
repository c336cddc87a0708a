"""The committed results over time, by machine: a page of text with one picture for each machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ganart_zoo.bench.report import EAGER, Report, geometric_mean
from ganart_zoo.contract.errors import ModelError, SettingsError

__all__ = ["Line", "Machine", "draw_history", "history_page", "read_history"]

_NAME = re.compile(r"(\d{4}-\d\d-\d\d)(-.+)?\.json")

_OPENING = """# Speed over time

This page is made by `make bench-history` from the files under `benchmarks/results/`, which `make bench` wrote and a
person committed. For each machine it shows how many times faster than eager PyTorch each op was, as the geometric
mean over the shapes that were timed on that day, and in brackets the median share of the machine's roof, which caches
can raise above 100 %. Ratios of different machines say little about the code, and so do those of two days on which
other shapes were timed.
"""


@dataclass(frozen=True)
class Line:
    """One op in one direction on one day."""

    times: float | None
    """Times faster than eager, the geometric mean over shapes and types; None where eager did not run."""
    of_roof: float | None
    rows: int


@dataclass(frozen=True)
class Machine:
    """The results of one machine."""

    title: str
    slug: str
    """For names of files."""
    days: Mapping[str, Mapping[str, Line]]
    """By date, then by op and direction."""

    @property
    def ops(self) -> list[str]:
        """All ops and directions that were timed on some day."""
        return sorted({op for day in self.days.values() for op in day})


def read_history(folder: Path) -> list[Machine]:
    """Read the results in a folder, whose names begin with their dates.

    Raises:
        SettingsError: There are none, or one cannot be read.
    """
    found: dict[str, dict[str, Mapping[str, Line]]] = {}
    for path in sorted(folder.glob("*.json")):
        name = _NAME.fullmatch(path.name)
        if name is None:
            raise SettingsError(f"{path}: a file of results is named by its date, such as 2026-11-26-avx2.json")
        report = Report.load(path)
        facts = report.machine
        on = f", {facts['gpu']}" if "gpu" in facts else ""
        title = (
            f"{facts.get('processor', 'unknown')}, {facts.get('isa', 'unknown')}, {facts.get('threads')} threads{on}"
        )
        found.setdefault(title, {})[name[1]] = _lines(report)
    if not found:
        raise SettingsError(f"{folder} holds no results; run 'make bench' and copy its results there")
    return [Machine(title, re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"), days) for title, days in found.items()]


def _lines(report: Report) -> dict[str, Line]:
    rows: dict[str, list[tuple[float | None, float | None]]] = {}
    for row in report.rows:
        eager = next((name for name in row.seconds if name.startswith(EAGER)), EAGER)
        rows.setdefault(f"{row.op} {row.direction}", []).append((row.times(eager), row.of_roof))
    return {op: _line(found) for op, found in rows.items()}


def _line(found: Sequence[tuple[float | None, float | None]]) -> Line:
    times = [each for each, _ in found if each is not None]
    shares = [share for _, share in found if share is not None]
    return Line(geometric_mean(times) if times else None, median(shares) if shares else None, len(found))


def history_page(machines: Sequence[Machine], pictures: str) -> str:
    """Return the page as Markdown; `pictures` is the folder of the pictures, relative to the page."""
    parts = [_OPENING]
    for machine in machines:
        days = list(machine.days)
        parts.append(f"## {machine.title}\n")
        parts.append(f"![Times faster than eager PyTorch, by day]({pictures}/{machine.slug}.png)\n")
        parts.append("| op | " + " | ".join(days) + " |\n|---|" + "---|" * len(days))
        parts += [
            f"| {op} | " + " | ".join(_cell(machine.days[day].get(op)) for day in days) + " |" for op in machine.ops
        ]
        parts.append("")
    return "\n".join(parts)


def _cell(line: Line | None) -> str:
    if line is None:
        return ""
    times = "" if line.times is None else f"{line.times:.2f}×"
    return times + ("" if line.of_roof is None else f" ({line.of_roof:.0%})")


def draw_history(machine: Machine, path: Path) -> None:
    """Write a small PNG: for each op and direction, the ratio to eager PyTorch on each day.

    Raises:
        ModelError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ModelError("the picture needs matplotlib; pip install 'ganart-zoo[bench]'") from error
    days, ops = list(machine.days), [op for op in machine.ops if any(d.get(op) for d in machine.days.values())]
    figure = Figure(figsize=(7, 1.1 + 0.2 * len(ops)), layout="constrained")
    axes = figure.subplots()
    shades = [str(0.75 * (1 - (position + 1) / len(days))) for position in range(len(days))]  # the newest is black
    for day, shade in zip(days, shades, strict=True):
        known = [(line.times, y) for y, op in enumerate(ops) if (line := machine.days[day].get(op)) and line.times]
        axes.plot([x for x, _ in known], [y for _, y in known], "o", color=shade, markersize=4, label=day)
    axes.axvline(1, color="grey", linewidth=1)
    axes.set_yticks(range(len(ops)), ops, fontsize=7)
    axes.set(xscale="log", ylim=(len(ops) - 0.5, -0.5))
    axes.set_xticks(ticks := [0.5, 1, 2, 5, 10, 20, 50], [f"{tick:g}×" for tick in ticks], fontsize=7)
    axes.set_xticks([], minor=True)
    axes.grid(axis="y", linewidth=0.3)
    axes.set_title(f"times faster than eager PyTorch: {machine.title}", fontsize=8)
    axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, pil_kwargs={"optimize": True})
