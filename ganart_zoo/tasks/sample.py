"""The verb `sample`: pictures of a generator, one a seed, as a grid or as single files with their records."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.imaging.grid import to_grid
from ganart_zoo.imaging.images import check_suffix, save
from ganart_zoo.imaging.record import InputFile, Record
from ganart_zoo.registry import Zoo
from ganart_zoo.running.calls import Steps
from ganart_zoo.running.generators import LoadedGenerator, check_seeds, load_recorded
from ganart_zoo.running.latent_files import Latents, painter, read_latents
from ganart_zoo.running.outputs import check_folder, check_replaceable, is_folder, make_folder

__all__ = ["Sampled", "rerun", "sample"]

_COUNT = 16
"""Pictures, where neither a number nor latents are given."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """What a call made."""

    images: Tensor
    """`[n, 3, H, W]` on the CPU, not clamped: as many as were finished, maybe none."""
    paths: tuple[Path, ...]
    """What was saved: the grid, or one file a picture."""
    seconds: float
    stopped: bool
    """`on_step` ended the work early."""
    record: Record
    """Of the grid of these pictures."""


def sample(
    generator: LoadedGenerator,
    n: int | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    latents: str | os.PathLike[str] | None = None,
    first: int = 0,
    classes: Sequence[int | str] | None = None,
    prompt: str | None = None,
    columns: int | None = None,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Sampled:
    """Make n pictures, and save them.

    Picture k is that of seed `seed + k`, or of row `first + k` of a file of latents. Pictures are made one at a time,
    so it is the same, bit for bit, however many are made beside it.

    Args:
        generator: From `load_generator`.
        n: How many; None: 16, or all that the file has.
        output: A `.png`, `.jpg`, `.jpeg` or `.webp` for a grid (of one picture: itself); or a folder for single files,
            `seed0007.png` or `latent0007.png`, created if only its last part is missing: a name without a suffix. None
            saves nothing.
        seed: Of the first picture. With latents, of the noise that a generator without styles draws beside them.
        latents: A file as `project` saves it. Styles are taken as they are, so classes, texts and truncation are not
            for them.
        first: The first row to take of it.
        classes: Numbers or names; pictures take them in turn. None: all there are.
        prompt: What to paint, for a model that takes a text.
        columns: Of the grid; None: one a class where pictures have several, else as many as rows.
        force: Replace files that ganart did not make.
        on_step: Called after each picture, or each step of an iterative generator. Returning False ends the work, and
            the finished pictures are saved.

    Raises:
        SettingsError: A number is out of range, the latents do not fit, or the generator has not what was asked for.
        WeightsError: The file of latents is missing or damaged.
        ImageError: The output cannot be written.
        ModelError: The generator broke, or memory ran out.
    """
    found = None if latents is None else _rows(generator, latents, first, n)
    if n is None:
        n = _COUNT if found is None else len(found.rows)
    check_seeds(seed, n)
    if columns is not None and columns < 1:
        raise SettingsError(f"columns is {columns}, expected at least 1")
    labels = None
    if found is not None and found.kind == "ws":
        _check_bare(generator, classes, prompt)
    else:
        labels = generator.labels(classes)
        generator.check_prompt(prompt)
    target = None if output is None else Path(output)
    folder = target if output is not None and is_folder(output) else None
    name, number = ("seed", seed) if found is None else ("latent", first)
    files = [] if folder is None else [folder / f"{name}{number + k:04d}.png" for k in range(n)]
    _check_outputs(files if folder is not None else [target] if target is not None else [], folder, force)
    about = {"n": n, "seed": seed}
    inputs = [] if latents is None else [InputFile.of(latents, "latents")]
    images: list[Tensor] = []
    start = time.perf_counter()
    with generator.announced("sample", target, about):
        stopped = False
        for k in range(n):
            label = None if labels is None else labels[k % len(labels)]
            steps = _PictureSteps(on_step, k + 1, n)
            with generator.calls("sample", steps):
                condition = generator.condition(None if label is None else [label], prompt)
                if found is None:
                    image = generator.paint([seed + k], condition, steps)
                else:
                    with torch.no_grad():
                        image = painter(generator, found.kind, condition, seed + k, steps)(found.rows[k : k + 1])
            if steps.stopped_at is not None:
                stopped = True
                break
            images.append(image.to("cpu"))
            if folder is not None:
                own = {"n": 1, "classes": None if label is None else [label], "prompt": prompt, "columns": 1}
                own |= {} if found is None else {"first": first + k}
                save(images[-1], files[k], record=generator.record("sample", seed + k, own, inputs))
            if steps.picture_done(image) is False and k + 1 < n:
                stopped = True
                break
        made = len(images)
        columns = columns or _columns(made, labels)
        request = {
            "n": made,
            "classes": None if labels is None else list(labels),
            "prompt": prompt,
            "columns": columns,
        }
        request |= {} if found is None else {"first": first}
        record = generator.record("sample", seed, request, inputs)
        if folder is None and target is not None and images:
            save(images[0] if made == 1 else to_grid(images, columns=columns, padding=2), target, record=record)
            files = [target]
    seconds = time.perf_counter() - start
    if files[:made]:
        generator.emit("sample", "saved", target, about)
    generator.emit("sample", "stopped" if stopped else "finished", target, {**about, "seconds": seconds})
    return Sampled(
        torch.cat(images) if images else torch.empty(0, 3, 0, 0), tuple(files[:made]), seconds, stopped, record
    )


def rerun(
    zoo: Zoo,
    record: Record,
    files: Mapping[str, Path],
    output: Path,
    *,
    device: str,
    fetch: bool = False,
    on_step: OnStep | None = None,
) -> Sampled:
    """Make the grid or picture of a record again; arguments and errors as those of `stylize.rerun`."""
    asked = record.request
    generator = load_recorded(zoo, record, device=device, fetch=fetch)
    return sample(
        generator,
        asked["n"],
        output,
        seed=record.seed,
        latents=files.get("latents"),
        first=asked.get("first", 0),
        classes=asked["classes"],
        prompt=asked["prompt"],
        columns=asked["columns"],
        force=True,
        on_step=on_step,
    )


class _PictureSteps(Steps):
    """Passes on the steps of an iterative generator; of any other, the picture as one step."""

    def __init__(self, on_step: OnStep | None, number: int, n: int) -> None:
        super().__init__(on_step)
        self._number, self._n = number, n
        self._iterative = False

    def __call__(self, event: StepEvent) -> bool | None:
        self._iterative = True
        where = f"picture {self._number}/{self._n}  {event.phase}" if self._n > 1 else event.phase
        return super().__call__(replace(event, phase=where))

    def picture_done(self, image: Tensor) -> bool | None:
        if self._iterative or self._on_step is None:
            return None
        return self._on_step(StepEvent(self._number, self._n, "", {}, lambda: image.detach().clamp(0, 1)))


def _rows(generator: LoadedGenerator, path: str | os.PathLike[str], first: int, n: int | None) -> Latents:
    """Return n rows of a file from `first` on, or all from there."""
    kind, rows = read_latents(generator, path)
    if first < 0 or first + (1 if n is None else n) > len(rows):
        wanted = f"row {first}" if n is None else f"{n} rows from row {first} on"
        raise SettingsError(f"{path} holds {len(rows)} latents, and {wanted} of them were asked for")
    return Latents(kind, rows[first : None if n is None else first + n])


def _check_bare(generator: LoadedGenerator, classes: Sequence[int | str] | None, prompt: str | None) -> None:
    """Raise SettingsError where styles, which are taken as they are, are given what made them."""
    field = type(generator.options).model_fields.get("truncation")
    truncated = field is not None and generator.options.truncation != field.default
    given = {"classes": classes is not None, "a prompt": prompt is not None, "truncation": truncated}
    if wrong := [name for name, is_given in given.items() if is_given]:
        raise SettingsError(f"styles from a file are painted as they are; leave {' and '.join(wrong)} out")


def _columns(n: int, labels: Sequence[int] | None) -> int:
    if labels is not None and 1 < len(labels) <= n:
        return len(labels)
    return max(1, math.ceil(math.sqrt(n)))


def _check_outputs(targets: Sequence[Path], folder: Path | None, force: bool) -> None:
    """Raise ImageError now, where saving would fail or harm after the work."""
    if folder is not None:
        make_folder(folder)
    for target in targets:
        check_suffix(target)
        if target.exists() and not force:
            check_replaceable(target)
    for parent in {target.parent for target in targets}:
        check_folder(parent)
