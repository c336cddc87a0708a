"""`--profile trace.json`, an option of every command: what torch does while the command runs, for a trace viewer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ganart_zoo.cli.show import note

__all__ = ["quiet_profiler", "with_profile"]

_SUFFIXES = (".json", ".json.gz")
_SHOWN = 5
"""Ops that are named on standard error, the most expensive first."""


def with_profile(command: click.Command) -> click.Command:
    """Add `--profile` to a command, or to all commands of a group; one that has such an option keeps its own."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            with_profile(inner)
    elif not any("--profile" in each.opts for each in command.params):
        command.params.append(
            click.Option(
                ["--profile"],
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="TRACE.json",
                expose_value=False,
                callback=_start,
                help="Write what torch did, op by op, for chrome://tracing or ui.perfetto.dev. For short runs.",
            )
        )
    return command


def quiet_profiler() -> None:
    """Keep torch's profiler from writing lines of its own to standard error."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")


def _start(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is None or ctx.resilient_parsing:
        return
    if not path.name.endswith(_SUFFIXES):
        raise click.BadParameter(f"{path} ends in neither of {', '.join(_SUFFIXES)}", ctx, parameter)
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}; create it first", ctx, parameter)
    if not os.access(path.parent, os.W_OK):
        raise click.BadParameter(f"{path.parent} cannot be written to", ctx, parameter)
    ctx.with_resource(_profiled(path, str(ctx.info_name)))


@contextmanager
def _profiled(path: Path, verb: str) -> Iterator[None]:
    quiet_profiler()
    import torch
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    every_thread = torch._C._profiler._ExperimentalConfig(profile_all_threads=True)
    profiler = profile(activities=activities, experimental_config=every_thread, acc_events=True)
    profiler.start()
    try:
        yield
    finally:
        profiler.stop()
        _write(profiler, path, verb)


def _write(profiler: object, path: Path, verb: str) -> None:
    averages = profiler.key_averages()  # type: ignore[attr-defined]
    ops = sorted((each for each in averages if "::" in each.key), key=lambda each: -each.self_cpu_time_total)
    if not ops:
        note(f"nothing to profile: {verb} ran no operation of torch in this process; {path} is not written")
        return
    part = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        profiler.export_chrome_trace(str(part))  # type: ignore[attr-defined]
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        note(f"{path} was not written: {error.strerror or error}")
        return
    total = sum(each.self_cpu_time_total for each in ops) or 1
    top = ", ".join(f"{each.key} {each.self_cpu_time_total / total:.0%}" for each in ops[:_SHOWN])
    note(f"wrote {path}; most time went to {top}")
