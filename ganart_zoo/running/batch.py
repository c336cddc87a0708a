"""Many contents, one after another: where their pictures go, what is done already, what failed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ganart_zoo.contract.errors import GanartError, ImageError
from ganart_zoo.contract.events import OnStep
from ganart_zoo.imaging.images import check_suffix
from ganart_zoo.running.outputs import check_folder, check_replaceable, make_folder
from ganart_zoo.running.stylists import Stylized, Stylizer

__all__ = ["Job", "Outcome", "plan", "stylize_all"]

# fmt: off
_PICTURE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif",
)
# fmt: on


@dataclass(frozen=True)
class Job:
    """One picture to make."""

    content: Path
    output: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    status: Literal["saved", "stopped", "skipped", "failed"]
    made: Stylized | None = None
    """Where saved or stopped."""
    error: GanartError | None = None
    """Where failed."""


def plan(contents: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str]) -> tuple[Job, ...]:
    """Say which file each content's picture goes to.

    One file goes to the file `output`. A folder, several contents, or an `output` that is a folder or ends with a
    slash: each goes to `output/<stem>.png`, or `<name>.png` where two contents share a stem; this folder is created if
    only its last part is missing. Of a folder, the files with a picture's suffix are taken, without its subfolders.

    Raises:
        ImageError: A folder holds no pictures, or is the output itself; or the output cannot be the folder needed.
    """
    given = [Path(content) for content in contents]
    target = Path(output)
    to_folder = os.fspath(output).endswith(("/", os.sep)) or target.is_dir()
    if len(given) == 1 and not given[0].is_dir() and not to_folder:
        return (Job(given[0], target),)
    files = [file for content in given for file in _files(content, target)]
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
    """Do the jobs in turn, yielding what became of each. One that fails does not stop the rest.

    A picture that is there already with a record of the same inputs and settings (`Stylizer.is_done`) is skipped. One
    that ganart made from others is replaced. A file that ganart did not make is left alone, and the job fails.

    Args:
        stylizer: What makes a picture.
        jobs: From `plan`.
        force: Make again what is done, and replace files that ganart did not make.
        on_start: Called before each job that is not skipped.
        on_step: As for `Stylizer`; where it stops the work, this picture is saved and no other is begun.
        stop: Asked before each job; True ends.
    """
    for job in jobs:
        if stop():
            return
        try:
            _check_output(job, stylizer.sources, force)
            if not force and stylizer.is_done(job.content, job.output):
                yield Outcome(job, "skipped")
                continue
            on_start(job)
            made = stylizer(job.content, job.output, on_step=on_step)
        except GanartError as error:
            yield Outcome(job, "failed", error=error)
            continue
        yield Outcome(job, "stopped" if made.stopped else "saved", made)
        if made.stopped:
            return


def _files(content: Path, target: Path) -> list[Path]:
    if not content.is_dir():
        return [content]
    if content.resolve() == target.resolve():
        raise ImageError(f"{content}: the pictures cannot go to the folder they are made from; choose another")
    found = sorted(
        path
        for path in content.iterdir()
        if path.suffix.lower() in _PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        raise ImageError(f"{content}: there are no pictures in this folder")
    return found


def _check_output(job: Job, sources: Iterable[Path], force: bool) -> None:
    """Raise ImageError now, where saving would fail or harm after minutes of work."""
    output = job.output
    check_suffix(output)
    if output.is_dir():
        raise ImageError(f"{output}: is a folder; expected a file to write")
    if output.exists():
        if any(source.exists() and output.samefile(source) for source in (job.content, *sources)):
            raise ImageError(f"{output}: is an input too and would be lost; choose another output")
        if not force:
            check_replaceable(output)
    if not job.content.exists():
        raise ImageError(f"{job.content}: there is no such file; check the path")
    check_folder(output.parent)
