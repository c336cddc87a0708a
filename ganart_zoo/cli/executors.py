"""`--executor`: many photos or prompts, some at a time, in processes of this machine or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from ganart_zoo.contract.errors import GanartError, SettingsError

if TYPE_CHECKING:
    from ganart_zoo.cli.long_work import LongWork
    from ganart_zoo.registry import Zoo
    from ganart_zoo.service import Job

__all__ = ["Where", "answers", "executor_options"]

F = TypeVar("F", bound=Callable[..., Any])

Where = Literal["processes", "ray"]

_PROCESSES = 2
"""How many run at once, unless `--workers` says: each holds a model."""

_POLL = 0.1


def executor_options(command: F) -> F:
    """Add `--executor` and `--workers`."""
    workers = click.option(
        "--workers",
        type=click.IntRange(min=1),
        help=f"How many are made at once. Default: {_PROCESSES} processes; on Ray, one a GPU, or one a core.",
    )
    executor = click.option(
        "--executor",
        type=click.Choice(["processes", "ray"]),
        help="Make several at once, in processes of this machine or on a Ray cluster, where OUT has to be a folder "
        "that all its machines share.",
    )
    return executor(workers(command))


def answers(
    zoo: Zoo,
    task: str,
    requests: Sequence[Mapping[str, Any]],
    work: LongWork,
    *,
    executor: Where | None,
    workers: int | None,
) -> Iterator[tuple[int, Any]]:
    """Yield the place of each request and its result, or its error, in the order in which they end.

    Where the work is interrupted, those that run are stopped, and those that wait are left out.
    """
    if not requests:
        return
    from ganart_zoo.service import Jobs, JobStoppedError

    if executor is None:
        raise SettingsError("--workers needs --executor; give both, or neither")
    chosen = workers or (_PROCESSES if executor == "processes" else None)
    with Jobs(zoo, executor=executor, workers=chosen, keep=len(requests)) as jobs:
        waiting: dict[Job, int] = {}
        for place, request in enumerate(requests):
            try:
                waiting[jobs.submit(task, **(_rooted(request) if executor == "ray" else request))] = place
            except GanartError as error:
                yield place, error
        ended, asked = len(requests) - len(waiting), False
        work.start(_title(task, ended, len(requests)))
        while waiting:
            if work.interrupted and not asked:
                asked = True
                for job in [*waiting][::-1]:  # those that wait first, so that none of them begins
                    job.cancel()
            done = [job for job in waiting if job.done]
            if not done:
                next(iter(waiting)).wait(_POLL)
            for job in done:
                place = waiting.pop(job)
                ended += 1
                work.show(_title(task, ended, len(requests)))
                try:
                    result = job.result(0)
                except JobStoppedError:
                    continue
                except GanartError as error:
                    result = error
                jobs.forget(job.id)
                yield place, result


def _rooted(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request without relative paths: another process may be in another folder."""
    return {name: value.absolute() if isinstance(value, Path) else value for name, value in request.items()}


def _title(task: str, ended: int, total: int) -> str:
    return f"{task}: {ended} of {total}"
