"""The verb `sample`: a generator's pictures of consecutive seeds, as a grid or as single files with their records."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.imaging.grid import to_grid
from ganart_zoo.imaging.images import save
from ganart_zoo.imaging.record import InputFile, Record
from ganart_zoo.running.arguments import whole
from ganart_zoo.running.generators import LoadedGenerator, check_seeds
from ganart_zoo.running.interrupts import interruptible
from ganart_zoo.running.latent_files import Latents, painter, read_latents
from ganart_zoo.running.loaded import Work
from ganart_zoo.running.outputs import check_pictures, is_folder
from ganart_zoo.running.pictures import Picture, describe, read
from ganart_zoo.running.reruns import Rerun
from ganart_zoo.running.showing import Shown

__all__ = ["Sampled", "rerun", "sample"]

_COUNT = 16
"""Pictures, where neither a number nor latents are given."""


@dataclass(frozen=True, eq=False)
class Sampled(Shown):
    """The result of a call."""

    images: Tensor
    """`[n, 3, H, W]` on the CPU, not clamped: those that were finished, possibly none."""
    paths: tuple[Path, ...]
    """The saved files: the grid, or one file per picture."""
    seconds: float
    stopped: bool
    """`on_step` ended the work early."""
    record: Record
    """The record of the grid of these pictures."""


@interruptible
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
    reference: Picture | None = None,
    columns: int | None = None,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Sampled:
    """Paint n pictures, and save them.

    Picture k is that of seed `seed + k`, or of row `first + k` of a file of latents. Pictures are painted one at a
    time, so each is the same, bit for bit, however many others there are.

    Args:
        generator: From `load_generator`.
        n: How many; None: 16, or all that the file has.
        output: A `.png`, `.jpg`, `.jpeg` or `.webp` file for a grid (or for the picture, where n is 1); or a folder for
            single files, `seed0007.png` or `latent0007.png`: a name without a suffix, created if its parent exists.
            None saves nothing.
        seed: Seed of the first picture. With latents, the seed of the noise that a generator without styles draws.
        latents: A file as `project` saves it. Styles are used as they are, so classes, texts and truncation cannot be
            given with them.
        first: The first row of `latents` to use.
        classes: Numbers or names; pictures use them in turn. None: all classes.
        prompt: What to paint, for a model that takes a text.
        reference: A picture to paint from, for a model that takes one.
        columns: Columns of the grid; None: one per class where pictures have several, else as many as rows.
        force: Replace files that ganart did not make.
        on_step: Called after each picture, or after each step of an iterative generator. Returning False ends the
            work, and the finished pictures are saved.

    Raises:
        SettingsError: A number is out of range, the latents do not fit, or the generator lacks what was asked for.
        WeightsError: The file of latents is missing or damaged.
        ImageError: The reference cannot be read, or the output cannot be written.
        ModelError: The generator broke, or memory ran out.
    """
    n, seed, first = None if n is None else whole("n", n), whole("seed", seed), whole("first", first)
    points = None if latents is None else _rows(generator, latents, first, n)
    if n is None:
        n = _COUNT if points is None else len(points.rows)
    check_seeds(seed, n)
    if columns is not None and columns < 1:
        raise SettingsError(f"columns is {columns}, expected at least 1")
    labels = None
    if points is not None and points.kind == "ws":
        _check_unconditional(generator, classes, prompt, reference)
    else:
        labels = generator.labels(classes)
        generator.check_prompt(prompt)
        generator.check_reference(reference is not None)
    picture = None if reference is None else read(reference)
    target = None if output is None else Path(output)
    folder = target if output is not None and is_folder(output) else None
    name, number = ("seed", seed) if points is None else ("latent", first)
    files = [] if folder is None else [folder / f"{name}{number + k:04d}.png" for k in range(n)]
    check_pictures(files if folder is not None else [target] if target is not None else [], folder, force=force)
    inputs = [] if latents is None else [InputFile.of(latents, "latents")]
    inputs += [] if reference is None else [describe(reference, "reference")]
    images: list[Tensor] = []
    with generator.work("sample", {"n": n, "seed": seed}, path=target, on_step=on_step) as work:
        for k in range(n):
            label = None if labels is None else labels[k % len(labels)]
            steps = _PictureSteps(work, k + 1, n)
            with work.calls():
                condition = generator.condition(None if label is None else [label], prompt, picture)
                if points is None:
                    image = generator.paint([seed + k], condition, steps)
                else:
                    with torch.no_grad():
                        image = painter(generator, points.kind, condition, seed + k, steps)(points.rows[k : k + 1])
            if work.stopped:
                break
            images.append(image.to("cpu"))
            if folder is not None:
                request = {"n": 1, "classes": None if label is None else [label], "prompt": prompt, "columns": 1}
                request |= {} if points is None else {"first": first + k}
                save(images[-1], files[k], record=generator.record("sample", seed + k, request, inputs))
            if steps.finish_picture(images[-1]) is False and k + 1 < n:
                work.ended_early = True
                break
        finished = len(images)
        columns = columns or _columns(finished, labels)
        request = {
            "n": finished,
            "classes": None if labels is None else list(labels),
            "prompt": prompt,
            "columns": columns,
        }
        request |= {} if points is None else {"first": first}
        record = generator.record("sample", seed, request, inputs)
        if folder is None and target is not None and images:
            save(images[0] if finished == 1 else to_grid(images, columns=columns, padding=2), target, record=record)
            files = [target]
        if files[:finished]:
            work.saved()
    return Sampled(
        torch.cat(images) if images else torch.empty(0, 3, 0, 0),
        tuple(files[:finished]),
        work.seconds,
        work.stopped,
        record,
    )


def rerun(again: Rerun) -> Sampled:
    """Make a recorded grid or picture again; errors as those of `sample`."""
    request = again.record.request
    return sample(
        again.load(LoadedGenerator),
        request["n"],
        again.output,
        seed=again.record.seed,
        latents=again.files.get("latents"),
        first=request.get("first", 0),
        classes=request["classes"],
        prompt=request["prompt"],
        reference=again.files.get("reference"),
        columns=request["columns"],
        force=True,
        on_step=again.on_step,
    )


class _PictureSteps:
    """Forwards the steps of an iterative generator; for any other, reports the picture as one step."""

    def __init__(self, work: Work, number: int, n: int) -> None:
        self._steps, self._number, self._n = work.steps, number, n
        self._last_answer: bool | None = None
        self._iterative = False

    def __call__(self, event: StepEvent) -> bool | None:
        self._iterative = True
        phase = f"picture {self._number}/{self._n}  {event.phase}" if self._n > 1 else event.phase
        self._last_answer = self._steps(replace(event, phase=phase))
        return self._last_answer

    def finish_picture(self, image: Tensor) -> bool | None:
        """Return the user's answer to the picture's last step."""
        if self._iterative:
            return self._last_answer
        return self._steps(StepEvent.of(self._number, self._n, picture=image))


def _rows(generator: LoadedGenerator, path: str | os.PathLike[str], first: int, n: int | None) -> Latents:
    """Return n rows of a file from row `first` on, or all from there."""
    kind, rows = read_latents(generator, path)
    if first < 0 or first + (1 if n is None else n) > len(rows):
        wanted = f"row {first}" if n is None else f"{n} rows from row {first} on"
        raise SettingsError(f"{path} holds {len(rows)} latents, and {wanted} were asked for")
    return Latents(kind, rows[first : None if n is None else first + n])


def _check_unconditional(
    generator: LoadedGenerator, classes: Sequence[int | str] | None, prompt: str | None, reference: Picture | None
) -> None:
    """Raise SettingsError where what shapes styles is given beside finished styles."""
    field = type(generator.options).model_fields.get("truncation")
    truncated = field is not None and generator.options.truncation != field.default
    used = {
        "classes": classes is not None,
        "a prompt": prompt is not None,
        "a reference": reference is not None,
        "truncation": truncated,
    }
    if wrong := [name for name, is_used in used.items() if is_used]:
        raise SettingsError(f"styles from a file are painted as they are; leave {' and '.join(wrong)} out")


def _columns(n: int, labels: Sequence[int] | None) -> int:
    if labels is not None and 1 < len(labels) <= n:
        return len(labels)
    return max(1, math.ceil(math.sqrt(n)))
