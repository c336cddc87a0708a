"""The verb `reproduce`: read a picture's record, make the picture again, and say whether the pixels agree."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganart_zoo.contract.errors import ImageError
from ganart_zoo.contract.events import OnStep
from ganart_zoo.contract.provenance import Provenance
from ganart_zoo.imaging.record import PixelDifference, Record, compare_pixels, find_inputs, read_record
from ganart_zoo.registry import Zoo
from ganart_zoo.running.environment import thread_count
from ganart_zoo.tasks import interpolate, mix, project, sample, stylize

__all__ = ["Reproduction", "reproduce"]

_RERUN: Mapping[str, Callable[..., Any]] = {
    "stylize": stylize.rerun,
    "sample": sample.rerun,
    "interpolate": interpolate.rerun,
    "mix": mix.rerun,
    "project": project.rerun,
}
"""Task of a record -> what makes its picture again."""


@dataclass(frozen=True)
class Reproduction:
    """How a rerun went."""

    record: Record
    """Of the picture as it was."""
    pixels: PixelDifference
    changes: tuple[str, ...]
    """What is not as it was then, one line each: versions, weights, hardware, implementations of the ops."""
    seconds: float
    path: Path | None
    """The new picture, where it was kept."""


def reproduce(
    zoo: Zoo,
    picture: str | os.PathLike[str],
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    output: str | os.PathLike[str] | None = None,
    device: str | None = None,
    fetch: bool = False,
    on_step: OnStep | None = None,
) -> Reproduction:
    """Make a picture again from its record, with the CPU threads it was made with, and compare the pixels.

    Args:
        zoo: Where models come from.
        picture: A picture that ganart made.
        inputs: Folders to look for the input files in, subfolders included, after the picture's own folder. Files are
            known by their contents, whatever they are called now.
        output: Where to keep the new picture, in the format of the old one; None keeps none.
        device: Where the model computes; None for the recorded device.
        fetch: Download missing weights.
        on_step: Called after each step. Returning False stops, and then the pixels hardly agree.

    Raises:
        ImageError: The picture carries no record, an input is not found, or the output cannot be written.
        GanartError: The model cannot be built as recorded.
    """
    source = Path(picture)
    record = read_record(source)
    if record.task not in _RERUN:
        raise ImageError(f"{source}: was made by {record.task!r}, and reproduce knows {', '.join(_RERUN)}")
    if output is not None and Path(output).suffix.lower() != source.suffix.lower():
        raise ImageError(f"{os.fspath(output)}: expected a name that ends with {source.suffix}, as that of {source}")
    files = _input_files(source, record, inputs)
    with ExitStack() as stack:
        stack.enter_context(thread_count(record.threads))
        if output is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ganart-"))
            target = Path(folder, source.name)
        else:
            target = Path(output)
        made = _RERUN[record.task](
            zoo, record, files, target, device=device or record.device, fetch=fetch, on_step=on_step
        )
        pixels = compare_pixels(source, target)
    changes = tuple(_changes(record, made.record))
    return Reproduction(record, pixels, changes, made.seconds, None if output is None else target)


def _input_files(source: Path, record: Record, folders: Iterable[str | os.PathLike[str]]) -> dict[str, Path]:
    """Return the input files by role."""
    found = find_inputs(record.inputs, [source.parent])
    rest = [one for one in record.inputs if one.sha256 not in found]
    searched = list(folders)
    found |= find_inputs(rest, searched, recursive=True)
    if missing := [one for one in rest if one.sha256 not in found]:
        names = ", ".join(f"{one.role} {one.name!r} (sha256 {one.sha256[:12]}…)" for one in missing)
        where = " or under ".join([f"beside {source}", *(os.fspath(folder) for folder in searched)])
        raise ImageError(f"{source}: its {names} is not {where}; name a folder that has it as inputs")
    return {one.role: found[one.sha256] for one in record.inputs}


def _changes(then: Record, now: Record) -> Iterator[str]:
    yield from _model_changes(then.model, now.model)
    for what in ("versions", "ops"):
        before: Mapping[str, str] = getattr(then, what)
        after: Mapping[str, str] = getattr(now, what)
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                yield f"{name}: {before.get(name, 'none')} then, {after.get(name, 'none')} now"
    if then.device != now.device:
        yield f"device: {then.device} then, {now.device} now"


def _model_changes(then: Provenance, now: Provenance) -> Iterator[str]:
    if then.version != now.version:
        yield f"{then.model}: {then.version} then, {now.version} now"
    if dict(then.config) != dict(now.config):
        names = sorted(
            {key for key in {*then.config, *now.config} if then.config.get(key, ...) != now.config.get(key, ...)}
        )
        yield f"config of {then.model}: {', '.join(names)} not as then"
    for name in sorted({*then.files, *now.files}):
        if then.files.get(name) != now.files.get(name):
            yield (
                f"weights {name!r} of {then.model}: sha256 {_short(then.files.get(name))} then, "
                f"{_short(now.files.get(name))} now"
            )
    for key, used in then.uses.items():
        after = now.uses.get(key)
        if used is not None and after is not None:
            yield from _model_changes(used, after)


def _short(digest: str | None) -> str:
    return f"{digest[:12]}…" if digest else "none"
