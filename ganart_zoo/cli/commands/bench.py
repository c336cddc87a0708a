"""`ganart bench`: times ops and tasks against the machine's roofs, and against the last committed results."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ganart_zoo.cli.options import output_option
from ganart_zoo.cli.show import BROKEN, note

__all__ = ["command"]

_FOLDER = Path("benchmarks")
_RESULTS = "results.json"
_IDLE = 0.7
"""Load average below which a machine counts as idle."""


@click.command("bench")
@click.argument("op", required=False)
@output_option(
    "Folder for results.json and bars.png.",
    metavar="DIR",
    required=False,
    aliases=("--out",),
    type=click.Path(file_okay=False, path_type=Path),
    default=_FOLDER / "latest",
    show_default=True,
)
@click.option(
    "--compare",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run nothing; compare the results in DIR with the last committed ones.",
)
@click.option("--no-compile", is_flag=True, help="Leave out torch.compile, which takes minutes to compile.")
def command(op: str | None, output: Path, compare: Path | None, no_compile: bool) -> None:
    """Time the benchmarks of a checkout, all or those of OP, on an otherwise idle machine.

    Each figure is the best of interleaved rounds in one process, as milliseconds, GFLOP/s, GB/s, percent of the
    machine's roof, and times faster than plain PyTorch and torch.compile.

    With --compare, exit code 1 if a share of the roof or a ratio to PyTorch fell by more than 10 %. Rows that no longer
    exist are listed, and so are the differences between the two machines.
    """
    from rich.console import Console

    from ganart_zoo.bench import Report, drops, other_machine, vanished
    from ganart_zoo.bench.run import latest_results, run_benchmarks
    from ganart_zoo.bench.show import draw_bars, print_report

    if compare is not None:
        committed = latest_results(_FOLDER / "results")
        before, now = Report.load(committed), Report.load(compare / _RESULTS)
        fallen = drops(before, now)
        for drop in fallen:
            click.echo(str(drop))
        for row in vanished(before, now):
            click.echo(f"{row}: no longer there")
        for difference in other_machine(before, now):
            note(f"another machine or software: {difference}")
        note(f"{len(fallen)} of the ratios fell by more than 10 % since {committed}")
        if fallen:
            raise click.exceptions.Exit(BROKEN)
        return
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > _IDLE:
        note(f"the load average is {load:.1f}; other work on this machine will disturb the figures")
    report = run_benchmarks(_FOLDER, op, compiled=not no_compile)
    report.save(output / _RESULTS)
    print_report(report, Console(stderr=False))
    draw_bars(report, output / "bars.png")
    note(f"wrote {output / _RESULTS} and {output / 'bars.png'}")
