"""`ganart bench`: times ops and models against the machine's roofs, and results against earlier ones."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganart_zoo.cli.group import zoo_of
from ganart_zoo.cli.options import json_option, output_option
from ganart_zoo.cli.profiling import quiet_profiler
from ganart_zoo.cli.show import BROKEN, emit_json, note, table

if TYPE_CHECKING:
    from ganart_zoo.bench import Report, Roofs
    from ganart_zoo.bench.measure import Measured
    from ganart_zoo.registry import Zoo

__all__ = ["command"]

_FOLDER = Path("benchmarks")
_RESULTS = "results.json"
_IDLE = 0.7
"""Load average below which a machine counts as idle."""
_SIZES = ("small", "standard")


@click.command("bench")
@click.argument("word", metavar="[OP|MODEL]", required=False)
@output_option(
    "Folder for results.json and bars.png. Default: none; for a suite, benchmarks/latest.",
    metavar="DIR",
    required=False,
    aliases=("--out",),
    type=click.Path(file_okay=False, path_type=Path),
)
@click.option(
    "--size",
    type=click.Choice((*_SIZES, "all")),
    default="standard",
    show_default=True,
    help="Which of the declared sizes to time.",
)
@click.option(
    "--seconds", type=click.FloatRange(min=0), default=0.5, show_default=True, help="For each line, about so long."
)
@click.option(
    "--compile/--no-compile",
    "compiled",
    default=None,
    help="Time torch.compile too, which takes minutes to compile. Default: only in a suite.",
)
@click.option(
    "--shapes",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Time the ops at the shapes of a real run, which GANART_TRACE=FILE recorded.",
)
@click.option(
    "--suite",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run the files for pytest-benchmark in this folder, such as benchmarks of a checkout.",
)
@click.option(
    "--compare",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Run nothing; compare the results in DIR with earlier ones.",
)
@click.option(
    "--before",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The earlier results for --compare. Default: the newest file in benchmarks/results.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    word: str | None,
    output: Path | None,
    size: str,
    seconds: float,
    compiled: bool | None,
    shapes: Path | None,
    suite: Path | None,
    compare: Path | None,
    before: Path | None,
    as_json: bool,
) -> None:
    """Time all ops and models, those of plugins included, or those with this word in their name.

    Each line has the median with its 95 % interval, the spread and the best of interleaved rounds in one process; the
    median with cold caches; the bytes that must be moved, FLOPs, and the most memory held; the share of the machine's
    roof; and how many times faster it is than the fastest baseline, which it names: eager (plain PyTorch), compile, or
    a function of another library that the op names. Time on an otherwise idle machine.

    With --compare, exit code 1 if a share of the roof or a ratio to PyTorch fell by more than 10 %, and the intervals
    of the two runs lie apart. Rows that no longer exist are listed, and so are the differences of the machines.
    """
    from ganart_zoo.bench.run import latest_results

    if compare is not None:
        _compare(before or latest_results(_FOLDER / "results"), compare / _RESULTS)
        return
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > _IDLE:
        note(f"the load average is {load:.1f}; other work on this machine will disturb the figures")
    if suite is not None:
        _run_suite(suite, word, output or _FOLDER / "latest", compiled is not False)
        return
    quiet_profiler()
    roofs = _probed()
    ops = _recorded(shapes, word, compiled=bool(compiled), roofs=roofs, seconds=seconds) if shapes else None
    sizes = _SIZES if size == "all" else (size,)
    measured = list(
        _declared(zoo_of(ctx), word, sizes, compiled=bool(compiled), roofs=roofs, seconds=seconds)
        if ops is None
        else ops
    )
    if output is not None:
        _save(measured, roofs, output)
    if as_json:
        emit_json([one.data() for one in measured])
    else:
        _show(measured)


def _compare(committed: Path, latest: Path) -> None:
    from ganart_zoo.bench import Report, drops, other_machine, vanished

    before, now = Report.load(committed), Report.load(latest)
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


def _run_suite(folder: Path, word: str | None, output: Path, compiled: bool) -> None:
    from rich.console import Console

    from ganart_zoo.bench.run import run_benchmarks
    from ganart_zoo.bench.show import print_report

    report = run_benchmarks(folder, word, compiled=compiled)
    report.save(output / _RESULTS)
    print_report(report, Console(stderr=False))
    _draw(report, output)


def _save(measured: Iterable[Measured], roofs: dict[str, Roofs], output: Path) -> None:
    from dataclasses import asdict

    from ganart_zoo.bench import Report
    from ganart_zoo.bench.roofs import describe_machine

    probed = [asdict(each) for each in roofs.values()]
    report = Report(describe_machine(), probed, [one.row() for one in measured])
    report.save(output / _RESULTS)
    _draw(report, output)


def _draw(report: Report, output: Path) -> None:
    from ganart_zoo.bench.show import draw_bars
    from ganart_zoo.contract.errors import ModelError

    try:
        draw_bars(report, output / "bars.png")
    except ModelError as error:
        note(f"wrote {output / _RESULTS}; {error}")
    else:
        note(f"wrote {output / _RESULTS} and {output / 'bars.png'}")


def _probed() -> dict[str, Roofs]:
    import torch

    from ganart_zoo import native
    from ganart_zoo.bench.roofs import probe_roofs

    roofs: dict[str, Roofs] = {}
    try:
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            roofs[device] = probe_roofs(device)
    except native.NativeBuildError as error:
        note(f"no roofs: {error}")
    native.tune_allocator()  # after the bandwidth into fresh memory; all candidates alike write to mapped memory
    return roofs


def _load_ops() -> None:
    from ganart_zoo.cli.ops_report import load_ops_of_plugins

    for module, cause in load_ops_of_plugins().items():
        note(f"the ops of {module} are left out: {cause}")


def _recorded(
    shapes: Path, word: str | None, *, compiled: bool, roofs: dict[str, Roofs], seconds: float
) -> Iterator[Measured]:
    from ganart_zoo.bench.replay import read_workloads, replay
    from ganart_zoo.contract.errors import SettingsError

    workloads = [each for each in read_workloads(shapes) if word is None or word in each.op]
    if not workloads:
        raise SettingsError(f"{shapes} has no call of {word}" if word else f"{shapes} has no calls of ops")
    _load_ops()
    done = 0
    for done, one in enumerate(replay(workloads, seconds=seconds, compiled=compiled, roofs=roofs), 1):
        note(f"{done} of {len(workloads)}: {one.name}")
        yield one
    if passed := len(workloads) - done:
        note(f"{passed} of {len(workloads)} calls were left out: their op or device is not here")


def _declared(
    zoo: Zoo, word: str | None, sizes: Collection[str], *, compiled: bool, roofs: dict[str, Roofs], seconds: float
) -> Iterator[Measured]:
    from ganart_zoo.bench.models import LeftOutError, measure_models
    from ganart_zoo.bench.replay import declared, replay
    from ganart_zoo.contract.errors import SettingsError, did_you_mean
    from ganart_zoo.ops.dispatch import registered

    _load_ops()
    names = [name for name in registered() if word is None or word in name]
    entries = [entry for entry in zoo.list() if word is None or word in entry.canonical]
    if not names and not entries:
        known = [*(name.partition("::")[2] for name in registered()), *(entry.spec.name for entry in zoo.list())]
        near = did_you_mean(word or "", known) or "; ganart list and ganart doctor --ops list them"
        raise SettingsError(f"no op or model has {word!r} in its name{near}")
    for name in names:
        if not registered()[name].workloads:
            note(f"{name} is left out: it declares no workloads; GANART_TRACE=FILE and --shapes FILE time it")
    devices = list(roofs) or ["cpu"]
    workloads = [each for device in devices for each in declared(sizes, device=device) if each.op in names]
    total, done = len(workloads) + len(entries) * len(sizes), 0
    for one in replay(workloads, seconds=seconds, compiled=compiled, roofs=roofs):
        done += 1
        note(f"{done} of {total}: {one.name}")
        yield one
    for found in measure_models(zoo, entries, sizes=sizes, seconds=seconds, compiled=compiled, roofs=roofs.get("cpu")):
        if isinstance(found, LeftOutError):
            note(f"left out: {found}")
            continue
        done += 1
        note(f"{done} of {total}: {found.name}")
        yield found


def _show(measured: Iterable[Measured]) -> None:
    measured = list(measured)
    for one in measured:
        for name, why in one.failed.items():
            note(f"{one.name}: {name} is left out: {why}")
    counts = ("calls",) if any(one.count != 1 for one in measured) else ()
    table(
        (
            *("op or model", "shapes", *counts, "ms", "95 % interval", "spread", "best", "cold"),
            *("MB", "GFLOP", "peak MB", "of roof", "faster"),
        ),
        [
            (
                one.name if one.native else f"{one.name} (no kernel: {one.reason})",
                f"{one.shape} {one.dtype}" + ("" if one.device == "cpu" else f" on {one.device}"),
                *([str(one.count)] if counts else []),
                _ms(one.seconds["op"].median),
                f"{_ms(one.seconds['op'].low)}–{_ms(one.seconds['op'].high)}",
                f"{one.seconds['op'].spread:.0%}",
                _ms(one.seconds["op"].best),
                _ms(one.cold.median),
                f"{one.moved / 1e6:.2f}",
                f"{one.flops / 1e9:.3f}" if one.flops else "",
                "" if one.peak_memory is None else f"{one.peak_memory / 1e6:.2f}",
                "" if one.of_roof is None else f"{one.of_roof:.0%}",
                "" if one.times_faster is None else f"{one.times_faster:.2f}x {one.baseline}",
            )
            for one in measured
        ],
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"
