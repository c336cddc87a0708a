"""The verb `reproduce`: read a picture's record, run its task again, and say whether the pixels agree."""

from __future__ import annotations

import importlib
import os
import pkgutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganart_zoo import tasks
from ganart_zoo.contract.errors import ImageError, UnknownModelError
from ganart_zoo.contract.events import OnStep
from ganart_zoo.contract.provenance import Provenance
from ganart_zoo.imaging.clips import clip_record, compare_clips, is_clip
from ganart_zoo.imaging.record import PixelDifference, Record, compare_pixels, find_inputs, read_record
from ganart_zoo.registry import Zoo
from ganart_zoo.running.environment import thread_count
from ganart_zoo.running.reruns import Rerun

__all__ = ["Reproduction", "reproduce"]


@dataclass(frozen=True)
class Reproduction:
    """The result of a rerun."""

    record: Record
    """The record of the original picture."""
    pixels: PixelDifference
    changes: tuple[str, ...]
    """What differs from the original run, one line each: versions, weights, hardware, implementations of the ops."""
    seconds: float
    path: Path | None
    """The new picture, if it was kept."""


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
    """Make a picture or clip again from its record, with as many CPU threads as the first time, and compare the pixels.

    Args:
        zoo: Where models come from.
        picture: A picture that ganart made.
        inputs: Folders, searched with their subfolders after the picture's own folder, that hold the input files. Files
            are recognised by their contents, whatever their names are now.
        output: Where to keep the new picture, in the format of the old one; None does not keep it.
        device: Where the model computes; None for the recorded device.
        fetch: Download missing weights.
        on_step: Called after each step. Returning False stops the work, and the pixels will probably differ.

    Raises:
        ImageError: The picture carries no record, an input is not found, or the output cannot be written.
        GanartError: The model cannot be built as recorded.
    """
    source = Path(picture)
    moves = is_clip(source)
    record = clip_record(source) if moves else read_record(source)
    rerun = _rerun_of(source, record.task)
    if output is not None and Path(output).suffix.lower() != source.suffix.lower():
        raise ImageError(f"{os.fspath(output)}: expected a name that ends with {source.suffix}, as that of {source}")
    _check_installed(zoo, source, record.model)
    files = _input_files(source, record, inputs)
    with ExitStack() as stack:
        stack.enter_context(thread_count(record.threads))
        if output is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ganart-"))
            target = Path(folder, source.name)
        else:
            target = Path(output)
        result = rerun(Rerun(zoo, record, files, target, device or record.device, fetch, on_step))
        pixels = compare_clips(source, target) if moves else compare_pixels(source, target)
    changes = tuple(_changes(record, result.record))
    return Reproduction(record, pixels, changes, result.seconds, None if output is None else target)


def _check_installed(zoo: Zoo, source: Path, model: Provenance) -> None:
    """Raise UnknownModelError where a recorded model is gone, with the distribution and version that had it."""
    try:
        zoo.entry(model.model)
    except UnknownModelError as error:
        distribution, _, name = model.model.partition("/")
        raise UnknownModelError(
            f"{source}: was made with {name} of {distribution} {model.version}, which is not installed; "
            f"pip install {distribution}=={model.version} ({error})"
        ) from None
    for used in model.uses.values():
        if used is not None:
            _check_installed(zoo, source, used)


def _rerun_of(source: Path, task: str) -> Callable[[Rerun], Any]:
    """Return the function `rerun` of the verb that made a picture.

    Raises:
        ImageError: There is no such verb, or it has no `rerun`.
    """
    verbs = {info.name for info in pkgutil.iter_modules(tasks.__path__)}
    rerun = _rerun(task) if task in verbs else None
    if rerun is None:
        known = ", ".join(verb for verb in sorted(verbs) if _rerun(verb) is not None)
        raise ImageError(f"{source}: was made by {task!r}, and reproduce knows {known}")
    return rerun


def _rerun(verb: str) -> Callable[[Rerun], Any] | None:
    return getattr(importlib.import_module(f"{tasks.__name__}.{verb}"), "rerun", None)


def _input_files(source: Path, record: Record, folders: Iterable[str | os.PathLike[str]]) -> dict[str, Path]:
    """Return the input files by role."""
    files = find_inputs(record.inputs, [source.parent])
    rest = [one for one in record.inputs if one.sha256 not in files]
    searched = list(folders)
    files |= find_inputs(rest, searched, recursive=True)
    if missing := [one for one in rest if one.sha256 not in files]:
        names = ", ".join(f"{one.role} {one.name!r} (sha256 {one.sha256[:12]}…)" for one in missing)
        where = " or under ".join([f"beside {source}", *(os.fspath(folder) for folder in searched)])
        raise ImageError(f"{source}: its {names} is not {where}; name a folder that has it as inputs")
    return {one.role: files[one.sha256] for one in record.inputs}


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
        yield f"config of {then.model}: {', '.join(names)} differ"
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
