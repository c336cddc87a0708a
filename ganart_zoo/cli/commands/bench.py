"""`ganart bench`: times ops and tasks against the machine's roofs, and against the last committed results."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ganart_zoo.cli.options import json_option, output_option
from ganart_zoo.cli.show import BROKEN, emit_json, note, table

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
@click.option(
    "--shapes",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Time the ops at the shapes of a real run, which GANART_TRACE=FILE recorded; needs no checkout.",
)
@json_option
def command(
    op: str | None, output: Path, compare: Path | None, no_compile: bool, shapes: Path | None, as_json: bool
) -> None:
    """Time the benchmarks of a checkout, all or those of OP, on an otherwise idle machine.

    With --shapes, time the ops of the core and of plugins at recorded shapes: the median with its 95 % interval, the
    spread and the best of interleaved rounds, against the fastest of plain PyTorch and torch.compile.

    Each figure is the best of interleaved rounds in one process, as milliseconds, GFLOP/s, GB/s, percent of the
    machine's roof, and times faster than plain PyTorch and torch.compile.

    With --compare, exit code 1 if a share of the roof or a ratio to PyTorch fell by more than 10 %. Rows that no longer
    exist are listed, and so are the differences between the two machines.
    """
    from rich.console import Console

    from ganart_zoo.bench import Report, drops, other_machine, vanished
    from ganart_zoo.bench.run import latest_results, run_benchmarks
    from ganart_zoo.bench.show import draw_bars, print_report

    if shapes is not None:
        _replay(shapes, op, compiled=not no_compile, as_json=as_json)
        return
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


def _replay(shapes: Path, only: str | None, *, compiled: bool, as_json: bool) -> None:
    from ganart_zoo import native
    from ganart_zoo.bench.replay import read_workloads, replay
    from ganart_zoo.bench.roofs import Roofs, probe_roofs
    from ganart_zoo.cli.ops_report import load_ops_of_plugins
    from ganart_zoo.contract.errors import SettingsError

    workloads = [each for each in read_workloads(shapes) if only is None or only in each.op]
    if not workloads:
        raise SettingsError(f"{shapes} has no call of {only}" if only else f"{shapes} has no calls of ops")
    for module, cause in load_ops_of_plugins().items():
        note(f"the ops of {module} are left out: {cause}")
    try:
        roofs: dict[str, Roofs] = {"cpu": probe_roofs("cpu")}
    except native.NativeBuildError as error:
        note(f"no roofs: {error}")
        roofs = {}
    measured = []
    for number, one in enumerate(replay(workloads, compiled=compiled, roofs=roofs), 1):
        note(f"{number} of {len(workloads)}: {one.workload.op}")
        measured.append(one)
    if passed := len(workloads) - len(measured):
        note(f"{passed} of {len(workloads)} calls were left out: their op or device is not here")
    if as_json:
        emit_json([one.data() for one in measured])
        return
    table(
        ("op", "shapes", "calls", "median", "95 % interval", "spread", "best", "bytes", "peak", "of roof", "faster"),
        [
            (
                one.workload.op if one.native else f"{one.workload.op} (no kernel: {one.reason})",
                one.workload.title,
                str(one.workload.count),
                _ms(one.seconds["op"].median),
                f"{_ms(one.seconds['op'].low)} to {_ms(one.seconds['op'].high)}",
                f"{one.seconds['op'].spread:.0%}",
                _ms(one.seconds["op"].best),
                f"{one.moved / 1e6:.2f} MB",
                "" if one.peak_memory is None else f"{one.peak_memory / 1e6:.2f} MB",
                "" if one.of_roof is None else f"{one.of_roof:.0%}",
                "" if one.times_faster is None else f"{one.times_faster:.2f}x {one.baseline}",
            )
            for one in measured
        ],
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"
