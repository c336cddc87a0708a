"""The verb `rank`: a critic scores pictures, and the best are kept: those one would show."""

from __future__ import annotations

import filecmp
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.errors import GanartError, ImageError, ModelError, SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.contract.models import Critic
from ganart_zoo.data.folder import PICTURE_SUFFIXES
from ganart_zoo.data.pictures import fit_square
from ganart_zoo.imaging.images import load
from ganart_zoo.registry import Zoo
from ganart_zoo.registry.runs import read_part
from ganart_zoo.running.calls import Steps, broken_call
from ganart_zoo.running.classes import class_label
from ganart_zoo.running.environment import reproducible
from ganart_zoo.running.outputs import check_folder, make_folder

__all__ = ["Ranked", "Scored", "rank"]


@dataclass(frozen=True)
class Scored:
    """One picture."""

    path: Path
    score: float
    """The critic's mean vote, higher is better. It means nothing beside that of another critic."""
    copy: Path | None = None
    """Where it was kept."""


@dataclass(frozen=True)
class Ranked:
    """What a call found."""

    pictures: tuple[Scored, ...]
    """The best first."""
    failed: tuple[ImageError, ...]
    """On those that could not be read."""
    seconds: float
    stopped: bool
    """`on_step` ended the work early: the others are not scored."""


def rank(
    zoo: Zoo,
    model: str | Path,
    pictures: Sequence[str | os.PathLike[str]],
    *,
    keep: int | None = None,
    output: str | os.PathLike[str] | None = None,
    label: int | str | None = None,
    settings: Mapping[str, Any] | None = None,
    weights: str | Path | None = "default",
    device: str | torch.device = "cpu",
    fetch: bool = False,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Ranked:
    """Score pictures with a critic, and keep the best. Equal scores stay in the order given.

    Args:
        zoo: Where the critic comes from.
        model: Its name, or the `Path` of a run, whose critic is taken.
        pictures: Files, and folders of files. Each is cut to a square in its centre and scaled to the critic's
            `resolution`, where it has one.
        keep: How many are the best; None for all.
        output: A folder for copies of them, `01-<name>`, bytes and all; created if only its last part is missing.
        label: The class to judge them as, for a critic with classes.
        settings: The critic's config (not of a run) and the models it uses.
        weights: As `Zoo.create` takes them.
        device: Where the critic computes.
        fetch: Download missing weights.
        force: Replace files of the folder that have the names of copies and are none.
        on_step: Called after each picture; returning False ends the work, and those until then are ranked.

    Raises:
        SettingsError: A number or the class is not fit, or the model is no critic.
        ImageError: There are no pictures, none can be read, or the folder cannot be written.
        ModelError: The critic broke, or memory ran out.
    """
    if keep is not None and keep < 1:
        raise SettingsError(f"keep is {keep}, expected at least 1")
    name = read_part(model, "critic").provenance.model if isinstance(model, Path) else model
    entry = zoo.entry(name)
    if entry.spec.kind != "critic":
        raise SettingsError(
            f"{entry.canonical} is a {entry.spec.kind}, expected a critic; see ganart list --kind critic"
        )
    files = list(_files(pictures))
    folder = None if output is None else Path(output)
    if folder is not None:
        make_folder(folder)
        check_folder(folder)
    source: dict[str, Any] = {"model": model, "part": "critic"} if isinstance(model, Path) else {"model": model}
    critic = zoo.create(**source, weights=weights, device=device, fetch=fetch, **(settings or {}))
    assert isinstance(critic, Critic)  # its kind says so, and the zoo holds it to that
    told = _condition(critic, entry.canonical, label)
    side = getattr(critic.config, "resolution", None)
    steps = Steps(on_step)
    scored: list[Scored] = []
    failed: list[ImageError] = []
    start = time.perf_counter()
    for number, file in enumerate(files, start=1):
        try:
            image = load(file)
        except ImageError as error:
            failed.append(error)
            continue
        if side is not None:
            image = fit_square(image, side, crop="centre", flip=False, seed=0)[None].float().div(255)
        try:
            with reproducible(), torch.no_grad():
                score = float(critic.score(image.to(critic.device, critic.compute_dtype), told))
        except GanartError:
            raise
        except Exception as error:
            raise broken_call(zoo, entry, "rank", error, image.shape[3], image.shape[2]) from error
        if not math.isfinite(score):
            raise ModelError(f"{entry.canonical} scores {file} with {score}; its training diverged")
        scored.append(Scored(file, score))
        event = StepEvent(number, len(files), "", {"score": score}, lambda image=image: image)  # type: ignore[misc]
        if steps(event) is False:
            break
    if not scored:
        raise ImageError(f"none of {len(files)} pictures can be read; the first: {failed[0]}")
    best = sorted(scored, key=lambda one: -one.score)[:keep]
    if folder is not None:
        best = [_kept(one, folder, place, len(best), force) for place, one in enumerate(best, start=1)]
    return Ranked(tuple(best), tuple(failed), time.perf_counter() - start, steps.stopped_at is not None)


def _files(pictures: Sequence[str | os.PathLike[str]]) -> Iterator[Path]:
    if not pictures:
        raise ImageError("no pictures were given; name files or folders")
    for given in map(Path, pictures):
        if not given.is_dir():
            if not given.exists():
                raise ImageError(f"{given}: there is no such file; check the path")
            yield given
            continue
        found = sorted(
            path
            for path in given.iterdir()
            if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
        if not found:
            raise ImageError(f"{given}: there are no pictures in this folder")
        yield from found


def _condition(critic: Critic, name: str, label: int | str | None) -> Condition | None:
    names = tuple(getattr(critic.config, "class_names", ()))
    if label is None:
        if names:
            raise SettingsError(f"{name} judges pictures as one of its classes; give one of {', '.join(names[:20])}")
        return None
    if not names:
        raise SettingsError(f"{name} has no classes to judge pictures as; leave the class out")
    number = class_label(name, names, label)
    return Condition(labels=torch.tensor([number], device=critic.device))


def _kept(one: Scored, folder: Path, place: int, count: int, force: bool) -> Scored:
    copy = folder / f"{place:0{max(2, len(str(count)))}d}-{one.path.name}"
    if copy.resolve() == one.path.resolve():
        raise ImageError(f"{copy}: is the picture itself; choose another folder")
    if copy.exists() and not force and not filecmp.cmp(one.path, copy, shallow=False):
        raise ImageError(f"{copy}: exists and is another picture; choose another folder, or use force")
    try:
        shutil.copyfile(one.path, copy)
    except OSError as error:
        raise ImageError(f"{copy}: not written: {error.strerror or error}") from None
    return Scored(one.path, one.score, copy)
