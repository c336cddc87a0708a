"""What the commands that work on photos share: their size, weights after a colon, and the report of the results."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganart_zoo.cli.show import BROKEN, INTERRUPTED, emit_json, note, record_data
from ganart_zoo.contract.errors import GanartError, SettingsError

if TYPE_CHECKING:
    from ganart_zoo.cli.long_work import LongWork
    from ganart_zoo.running.batch import Job, Outcome
    from ganart_zoo.running.processes import Processes
    from ganart_zoo.running.stylists import Stylizer

__all__ = [
    "finish",
    "gathered",
    "limits_of",
    "long_side_of",
    "long_side_option",
    "report",
    "run_elsewhere",
    "run_jobs",
    "weighted",
]

_KEPT = 1 << 20
"""Bytes of freed memory to keep for reuse where memory is limited. With more, gaps in the heap make the peak a third
larger than what tensors take, and nobody can forecast by how much; with this, a step takes a fifth longer."""

long_side_option = click.option(
    "--size",
    default="512",
    show_default=True,
    metavar="PIXELS|full",
    help="Long side of the result. A larger photo is scaled down; a smaller one is never scaled up.",
)


def long_side_of(text: str) -> int | None:
    """Return the value of `--size`: None for "full".

    Raises:
        SettingsError: It is neither a number nor "full".
    """
    if text == "full":
        return None
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"--size is {text!r}, expected a number of pixels or 'full'") from None


def limits_of(max_memory: str | None, max_pixels: int | None, depth: str) -> dict[str, Any]:
    """Return what `--max-memory`, `--max-pixels` and `--depth` say to `Stylizer`, and set the allocator up for them.

    Raises:
        SettingsError: The memory is not a size.
    """
    limits: dict[str, Any] = {} if max_pixels is None else {"max_pixels": max_pixels}
    if depth != "8":
        limits["depth"] = int(depth)
    if max_memory is not None:
        from ganart_zoo import native
        from ganart_zoo.running.memory import parse_bytes

        limits["max_memory"] = parse_bytes(max_memory)
        native.tune_allocator(_KEPT)  # freed pictures must not stay in the heap
    return limits


def weighted(text: str) -> tuple[str, float]:
    """Return the picture or name, and the weight, of `PICTURE[:WEIGHT]`."""
    head, colon, tail = text.rpartition(":")
    if colon and head and not Path(text).exists():
        with suppress(ValueError):  # the colon may be part of a file's name
            return head, float(tail)
    return text, 1.0


def run_jobs(stylizer: Stylizer, jobs: Sequence[Job], work: LongWork, *, force: bool, silent: bool) -> list[Outcome]:
    """Do the jobs, showing progress and, unless `silent`, the result of each photo; return all results."""
    from ganart_zoo.running.batch import stylize_all

    outcomes: list[Outcome] = []

    def on_start(job: Job) -> None:
        number = f"{jobs.index(job) + 1}/{len(jobs)} " if len(jobs) > 1 else ""
        work.start(f"{number}{job.content.name}")

    for outcome in stylize_all(
        stylizer, jobs, force=force, on_start=on_start, on_step=work.step, stop=lambda: work.interrupted
    ):
        outcomes.append(outcome)
        if not silent:
            report(outcome)
    return outcomes


def run_elsewhere(
    stylizer: Stylizer,
    jobs: Sequence[Job],
    work: LongWork,
    answer: Callable[[Sequence[Mapping[str, Any]]], Iterator[tuple[int, Any]]],
    request: Mapping[str, Any],
    *,
    force: bool,
    silent: bool,
) -> list[Outcome]:
    """Do what `run_jobs` does, where `answer` (see `executors.answers`) does the work that `request` describes."""
    from ganart_zoo.running.batch import Outcome, settled

    outcomes = {place: settled(stylizer, job, force=force) for place, job in enumerate(jobs)}
    for outcome in outcomes.values():
        if outcome is not None and not silent:
            report(outcome)
    open_places = [place for place, outcome in outcomes.items() if outcome is None]
    requests = [{**request, "content": jobs[place].content, "output": jobs[place].output} for place in open_places]
    for number, answered in answer(requests):
        job = jobs[open_places[number]]
        if isinstance(answered, GanartError):
            outcome = Outcome(job, "failed", error=answered)
        else:
            outcome = Outcome(job, "stopped" if answered.stopped else "saved", answered)
        outcomes[open_places[number]] = outcome
        if not silent:
            report(outcome)
    return [outcome for outcome in outcomes.values() if outcome is not None]


def report(outcome: Outcome) -> None:
    """Print the result of one photo."""
    # With file=, or click would write past the progress bar and into it.
    output = outcome.job.output
    if outcome.made is not None:
        height, width = outcome.made.images.shape[-2:]
        stopped_at = outcome.made.record.request["stopped_at"]
        tiles = "" if outcome.made.plan is None else f"  ({outcome.made.plan})"
        early = f"  stopped at step {stopped_at}: the best picture so far" if outcome.status == "stopped" else ""
        click.echo(f"{output}  {width}×{height}  {outcome.made.seconds:.1f} s{tiles}{early}", file=sys.stdout)
    elif outcome.status == "skipped":
        click.echo(f"{output}  already done", file=sys.stdout)


def finish(
    jobs: int, outcomes: Sequence[Outcome], as_json: bool, interrupted: bool, others: Sequence[dict[str, Any]] = ()
) -> None:
    """Print the results of `jobs` photos, and end with the exit code that they call for.

    `others` are what other processes made, as `gathered` returns it.
    """
    done = len(outcomes) + len(others)
    if as_json:
        emit_json({"results": [_as_json(outcome) for outcome in outcomes] + list(others)})
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    if interrupted:
        if done < jobs:
            note(f"stopped; {jobs - done} of {jobs} not started; the same command continues with them")
        click.get_current_context().exit(INTERRUPTED)
    if failed and jobs == 1:
        raise failed[0]
    failed += [SettingsError(other["error"]) for other in others if other["error"] is not None]
    if failed:
        note(f"{len(failed)} of {jobs} failed:")
        for error in failed:
            note(str(error))
        click.get_current_context().exit(BROKEN)


def gathered(team: Processes, outcomes: Sequence[Outcome], work: LongWork) -> list[dict[str, Any]] | None:
    """Return what the other processes made, in the first process; None in the others, which tell it, and may end.

    After Ctrl-C what is not told yet is left out.
    """
    if not team.is_first:
        team.tell(f"photos/{team.rank}", json.dumps([_as_json(outcome) for outcome in outcomes]))
        if not work.interrupted:
            team.wait_for("over", work.step)
        return None
    texts = [team.wait_for(f"photos/{rank}", work.step) for rank in range(1, team.count)]
    team.tell("over")
    return list(itertools.chain.from_iterable(json.loads(text) for text in texts if text is not None))


def _as_json(outcome: Outcome) -> dict[str, Any]:
    made = outcome.made
    return {
        "content": str(outcome.job.content),
        "output": str(outcome.job.output),
        "status": outcome.status,
        "seconds": None if made is None else made.seconds,
        "memory": None if made is None or made.plan is None else asdict(made.plan),
        "error": None if outcome.error is None else str(outcome.error),
        "record": None if made is None else record_data(made.record),
    }
