"""The verb `rank`: a critic scores pictures, and the best are kept."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.registry import Zoo
from ganart_zoo.running.critics import LoadedCritic
from ganart_zoo.running.outputs import check_folder, make_folder, pictures_in
from ganart_zoo.running.panel import Judge
from ganart_zoo.running.pictures import Picture, name_of, read
from ganart_zoo.running.prompts import read_prompt

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ganart_zoo.running.loaded import LoadOptions

__all__ = ["Ranked", "Scored", "rank"]


@dataclass(frozen=True)
class Scored:
    """One picture."""

    path: Path | None
    """Its file; None for a picture that was given as bytes, an image, an array or a tensor."""
    score: float
    """The critic's mean vote; higher is better. Scores of different critics cannot be compared."""
    copy: Path | None = None
    """The copy, if one was kept."""
    number: int = 0
    """Its place, from 1, among the pictures that were given, those of folders in the order of their names."""


@dataclass(frozen=True)
class Ranked:
    """The result of a call."""

    pictures: tuple[Scored, ...]
    """The best first."""
    failed: tuple[ImageError, ...]
    """One error per picture that could not be read."""
    seconds: float
    stopped: bool
    """`on_step` ended the work early, and the remaining pictures are not scored."""


def rank(
    zoo: Zoo,
    model: str | Path,
    pictures: Sequence[Picture],
    *,
    keep: int | None = None,
    output: str | os.PathLike[str] | None = None,
    label: int | str | None = None,
    prompt: str | Sequence[str] | None = None,
    reference: Picture | None = None,
    force: bool = False,
    on_step: OnStep | None = None,
    **how: Unpack[LoadOptions],
) -> Ranked:
    """Score pictures with a critic, and keep the best. Pictures with equal scores stay in their order.

    Args:
        zoo: Where the critic comes from.
        model: Its name, or the `Path` of a run, whose critic is used.
        pictures: Pictures, and folders of files. Each is cut to the square in its centre and scaled to the critic's
            `resolution`, if it has one.
        keep: How many to keep; None for all.
        output: A folder for exact copies of the best, named `01-<name>`; created if its parent exists.
        label: The class to judge the pictures as, for a critic with classes.
        prompt: What the pictures should show, for a critic that takes a prompt: one text, or parts `"TEXT:WEIGHT"`.
        reference: What the pictures should resemble, for a critic that takes a reference.
        force: Replace files of the folder that have the names of copies and are other pictures.
        on_step: Called after each picture; returning False ends the work, and the pictures so far are ranked.
        **how: See `LoadOptions`: `settings`, `weights`, `device`, `dtype`, `fetch`.

    Raises:
        SettingsError: A number or the class is not valid, or the model is not a critic.
        ImageError: There are no pictures, none can be read, or the folder cannot be written.
        ModelError: The critic broke, or memory ran out.
    """
    if keep is not None and keep < 1:
        raise SettingsError(f"keep is {keep}, expected at least 1")
    files = list(_files(pictures))
    folder = None if output is None else Path(output)
    if folder is not None and not all(isinstance(file, Path) for file in files):
        raise SettingsError("output is a folder for copies of files, and some pictures are none; leave output out")
    if folder is not None:
        _check_apart(folder, pictures)
        make_folder(folder)
        check_folder(folder)
    critic = LoadedCritic.load(zoo, model, **how)
    texts = None if prompt is None else read_prompt([prompt] if isinstance(prompt, str) else prompt)
    picture = None if reference is None else read(reference)
    critic.condition(label)  # refuses a class that the critic lacks, and none where it needs one
    for what, given in (("prompt", texts), ("reference", picture)):
        if given is not None and what not in critic.entry.spec.capabilities:
            raise SettingsError(
                f"{critic.entry.canonical} takes no {what}; leave the {what} out, or use another critic"
            )
    judge = Judge(critic, 1.0, texts, label, picture)
    scored: list[Scored] = []
    failed: list[ImageError] = []
    details = {"pictures": len(files), "class": label, "prompt": None if texts is None else texts.text}
    with critic.work("rank", details, path=folder, on_step=on_step) as work:
        for number, file in enumerate(files, start=1):
            try:
                image = critic.fit(read(file))
            except ImageError as error:
                failed.append(error)
                continue
            with work.calls(size=(image.shape[3], image.shape[2])), torch.no_grad():
                (score,) = judge.score(image, name_of(file)).tolist()
            scored.append(Scored(file if isinstance(file, Path) else None, score, number=number))
            if work.steps(StepEvent.of(number, len(files), "", {"score": score}, picture=image)) is False:
                break
        if not scored:
            raise ImageError(f"none of {len(files)} pictures can be read; the first: {failed[0]}")
        best = sorted(scored, key=lambda one: -one.score)[:keep]
        if folder is not None:
            best = [_kept(one, folder, place, len(best), force) for place, one in enumerate(best, start=1)]
            work.saved()
    return Ranked(tuple(best), tuple(failed), work.seconds, work.stopped)


def _files(pictures: Sequence[Picture]) -> Iterator[Path | Picture]:
    if not len(pictures):
        raise ImageError("no pictures were given; name files or folders")
    for each in pictures:
        if not isinstance(each, (str, os.PathLike)):
            yield each
            continue
        path = Path(each)
        if path.is_dir():
            yield from pictures_in(path)
        elif path.exists():
            yield path
        else:
            raise ImageError(f"{path}: there is no such file; check the path")


def _check_apart(folder: Path, pictures: Sequence[Picture]) -> None:
    """Refuse to write copies into a folder that is ranked, where the next ranking would meet them."""
    for each in pictures:
        if isinstance(each, (str, os.PathLike)) and Path(each).is_dir() and Path(each).resolve() == folder.resolve():
            raise ImageError(f"{folder}: copies of the best cannot go to the folder they come from; choose another")


def _kept(one: Scored, folder: Path, place: int, count: int, force: bool) -> Scored:
    assert one.path is not None  # checked before the work
    copy = folder / f"{place:0{max(2, len(str(count)))}d}-{one.path.name}"
    if copy.resolve() == one.path.resolve():
        raise ImageError(f"{copy}: is the picture itself; choose another folder")
    if copy.exists() and not force and not filecmp.cmp(one.path, copy, shallow=False):
        raise ImageError(f"{copy}: exists and is another picture; choose another folder, or use --force (force=True)")
    try:
        shutil.copyfile(one.path, copy)
    except OSError as error:
        raise ImageError(f"{copy}: not written: {error.strerror or error}") from None
    return replace(one, copy=copy)
