"""Plots the losses of training runs, one row for each run.

    python tools/plot_run.py RUN [RUN ...] -o curves.png

Left: the losses of critic and generator. Right: how often the critic distinguishes real from generated pictures, as its
mean sign (0 is chance, 1 is always). Thin lines show `metrics.jsonl`, and thick lines a running mean over a fiftieth
of the run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

_PANELS = (("loss", ("critic", "generator")), ("critic's mean sign", ("sign",)))
_SMOOTHED = 50  # a thick line's mean is over this share of the run


def read(run: Path) -> dict[str, np.ndarray]:
    """Return the columns of a run's metrics, `step` among them, each `[lines]`."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open(encoding="utf-8")]
    lines = [line for line in lines if "critic" in line]
    names = {"step", *(name for _, panel in _PANELS for name in panel)}
    return {name: np.array([line[name] for line in lines]) for name in names}


def smooth(values: np.ndarray) -> np.ndarray:
    """Return running means over a fiftieth of the values, shorter at the ends."""
    window = np.ones(max(1, len(values) // _SMOOTHED))
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")


def draw(runs: Sequence[Path], out: Path) -> None:
    """Write the picture."""
    figure = Figure(figsize=(9, 2.6 * len(runs)), layout="constrained")
    grid = figure.subplots(len(runs), len(_PANELS), squeeze=False)
    for run, row in zip(runs, grid, strict=True):
        columns = read(run)
        for axes, (title, names) in zip(row, _PANELS, strict=True):
            for name in names:
                (thin,) = axes.plot(columns["step"], columns[name], linewidth=0.5, alpha=0.35)
                axes.plot(columns["step"], smooth(columns[name]), color=thin.get_color(), label=name)
            axes.set(title=f"{run.resolve().name}: {title}", xlabel="step")
            axes.grid(alpha=0.3)
            axes.legend(loc="upper right")
    figure.savefig(out, dpi=80)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="Run folders of `ganart train`.")
    parser.add_argument("-o", "--out", type=Path, required=True, help="A PNG.")
    asked = parser.parse_args(arguments)
    draw(asked.runs, asked.out)


if __name__ == "__main__":
    main()
