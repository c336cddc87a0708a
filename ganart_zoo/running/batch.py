"""Many photos restyled one after another: where each picture goes, which are done already, which failed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ganart_zoo.contract.errors import GanartError, ImageError
from ganart_zoo.contract.events import OnStep
from ganart_zoo.running.outputs import check_pictures, make_folder, pictures_in
from ganart_zoo.running.stylists import Stylized, Stylizer

__all__ = ["Job", "Outcome", "plan", "settled", "stylize_all"]


@dataclass(frozen=True)
class Job:
    """One picture to be made."""

    content: Path
    output: Path


@dataclass(frozen=True)
class Outcome:
    """The result of a job."""

    job: Job
    status: Literal["saved", "stopped", "skipped", "failed"]
    made: Stylized | None = None
    """The picture; None for a job that was skipped or failed."""
    error: GanartError | None = None
    """Why the job failed."""


def plan(contents: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str]) -> tuple[Job, ...]:
    """Return which file each content's picture goes to.

    The picture of a single file goes to the file `output`. Where there is a folder or several contents, or where
    `output` is a folder or ends with a slash, pictures go to `output/<stem>.png`, or to `output/<name>.png` where two
    contents share a stem; `output` is created if its parent exists. A folder stands for the files in it with a
    picture's suffix, without those of subfolders.

    Raises:
        ImageError: A folder holds no pictures, or is the output itself; or the output cannot be the folder needed.
    """
    sources = [Path(content) for content in contents]
    target = Path(output)
    to_folder = os.fspath(output).endswith(("/", os.sep)) or target.is_dir()
    if len(sources) == 1 and not sources[0].is_dir() and not to_folder:
        return (Job(sources[0], target),)
    files = [file for content in sources for file in _files(content, target)]
    stems = Counter(file.stem for file in files)
    names = [f"{file.stem if stems[file.stem] == 1 else file.name}.png" for file in files]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ImageError(f"two contents would both be saved as {target / twice[0]}; give them one at a time")
    make_folder(target)
    return tuple(Job(file, target / name) for file, name in zip(files, names, strict=True))


def stylize_all(
    stylizer: Stylizer,
    jobs: Iterable[Job],
    *,
    force: bool = False,
    on_start: Callable[[Job], None] = lambda job: None,
    on_step: OnStep | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Do the jobs in turn, yielding the outcome of each. A job that fails does not stop the rest.

    A picture that exists already with a record of the same inputs and settings (`Stylizer.is_done`) is skipped. One
    that ganart made otherwise is replaced. A file that ganart did not make is left alone, and its job fails.

    Args:
        stylizer: Restyles one picture.
        jobs: From `plan`.
        force: Make pictures again that are done, and replace files that ganart did not make.
        on_start: Called before each job that is not skipped.
        on_step: As for `Stylizer`; where it stops the work, this picture is saved and no other is started.
        stop: Called before each job; the work ends where it returns True.
    """
    for job in jobs:
        if stop():
            return
        if (outcome := settled(stylizer, job, force=force)) is not None:
            yield outcome
            continue
        try:
            on_start(job)
            made = stylizer(job.content, job.output, on_step=on_step)
        except GanartError as error:
            yield Outcome(job, "failed", error=error)
            continue
        yield Outcome(job, "stopped" if made.stopped else "saved", made)
        if made.stopped:
            return


def settled(stylizer: Stylizer, job: Job, *, force: bool) -> Outcome | None:
    """Return the outcome of a job that needs no work: one that is done, or that cannot be saved. Else None."""
    try:
        _check_output(job, stylizer, force)
        done = not force and stylizer.is_done(job.content, job.output)
    except GanartError as error:
        return Outcome(job, "failed", error=error)
    return Outcome(job, "skipped") if done else None


def _files(content: Path, target: Path) -> list[Path]:
    if not content.is_dir():
        return [content]
    if content.resolve() == target.resolve():
        raise ImageError(f"{content}: the pictures cannot go to the folder they are made from; choose another")
    return pictures_in(content)


def _check_output(job: Job, stylizer: Stylizer, force: bool) -> None:
    """Raise ImageError now, where saving would fail or do harm after minutes of work."""
    output = job.output
    if output.is_dir():
        raise ImageError(f"{output}: is a folder; expected a file to write")
    if output.exists() and any(
        source.exists() and output.samefile(source) for source in (job.content, *stylizer.sources)
    ):
        raise ImageError(f"{output}: is an input too and would be lost; choose another output")
    check_pictures([output], force=force, depth=stylizer.depth)
    if not job.content.exists():
        raise ImageError(f"{job.content}: there is no such file; check the path")
