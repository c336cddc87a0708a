"""The verb `mix`: a grid of pictures in which some layers have the style of one seed, and the rest that of another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.events import OnStep, StepEvent
from ganart_zoo.imaging.grid import to_grid
from ganart_zoo.imaging.images import save
from ganart_zoo.imaging.record import Record
from ganart_zoo.running.generators import LoadedGenerator, check_seeds
from ganart_zoo.running.outputs import check_pictures
from ganart_zoo.running.reruns import Rerun
from ganart_zoo.running.results import check_result
from ganart_zoo.running.showing import Shown

__all__ = ["Mixed", "mix", "mixed_styles", "rerun"]


@dataclass(frozen=True, eq=False)
class Mixed(Shown):
    """The result of a call."""

    images: Tensor
    """`[rows, columns, 3, H, W]` on the CPU, not clamped."""
    path: Path | None
    seconds: float
    record: Record
    """Of the sheet."""
    sheet: Tensor
    """`[1, 3, H, W]`: the picture that is saved, with the seeds' own pictures at its edges."""


def mixed_styles(rows: Tensor, columns: Tensor, layers: Sequence[int]) -> Tensor:
    """Return `[rows, columns, num_ws, w_dim]`: the styles of the rows, but at `layers` those of the columns."""
    mixed = rows[:, None].repeat(1, len(columns), 1, 1)
    chosen = list(layers)
    mixed[:, :, chosen] = columns[None][:, :, chosen]
    return mixed


def mix(
    generator: LoadedGenerator,
    rows: Sequence[int],
    columns: Sequence[int],
    layers: tuple[int, int],
    output: str | os.PathLike[str] | None = None,
    *,
    label: int | str | None = None,
    prompt: str | None = None,
    force: bool = False,
    on_step: OnStep | None = None,
) -> Mixed:
    """Paint the pictures of all pairs of seeds, and save them as a grid with the seeds' own pictures at its edges.

    Args:
        generator: From `load_generator`; a style generator.
        rows: Seeds whose styles are used in all layers but `layers`.
        columns: Seeds whose styles are used in `layers`.
        layers: First and last, counted from 0: early layers decide pose and shape, late ones colour and texture.
        output: `.png`, `.jpg`, `.jpeg` or `.webp`. None saves nothing.
        label: The class of all pictures; None: the first, where the generator has classes.
        prompt: What all pictures show, for a model that takes a text.
        force: Replace a file that ganart did not make.
        on_step: Called after each picture. What it returns is ignored, since half a grid is of no use; raise to end.

    Raises:
        SettingsError: The generator has no styles, no such layer or class, or there are no seeds.
        ImageError: The output cannot be written.
        ModelError: The generator broke, or memory ran out.
    """
    model = generator.styled("mixing")
    first, last = layers
    if not 0 <= first <= last < model.num_ws:
        raise SettingsError(
            f"layers are {first}-{last}, expected first-last within 0-{model.num_ws - 1} of {generator.entry.canonical}"
        )
    if not rows or not columns:
        raise SettingsError(f"{len(rows)} row and {len(columns)} column seeds were given, expected at least one each")
    for seed in (*rows, *columns):
        check_seeds(seed, 1)
    condition = generator.one_condition(label, prompt)
    target = None if output is None else Path(output)
    if target is not None:
        check_pictures([target], force=force)
    request = {"rows": list(rows), "columns": list(columns), "layers": [first, last], "class": label, "prompt": prompt}
    with generator.work("mix", request, path=target, on_step=on_step) as work:
        with work.calls(), torch.no_grad():
            # one at a time, as `sample` does: another batch size may round otherwise
            of_rows, of_columns = (
                torch.cat([generator.truncated(model.map(generator.latents([seed]), condition)) for seed in seeds])
                for seeds in (rows, columns)
            )
            mixed = mixed_styles(of_rows, of_columns, range(first, last + 1)).flatten(0, 1)
            styles = torch.cat([of_rows, of_columns, mixed])
            pictures: list[Tensor] = []
            for number, ws in enumerate(styles, start=1):
                pictures.append(check_result(model.synthesize(ws[None]), 1).to("cpu"))
                work.steps(StepEvent.of(number, len(styles), picture=pictures[-1]))
        record = generator.record("mix", rows[0], request)
        sheet = _sheet(pictures, len(rows), len(columns))
        if target is not None:
            save(sheet, target, record=record)
            work.saved()
    images = torch.stack(pictures[len(rows) + len(columns) :])
    return Mixed(images.view(len(rows), len(columns), *images.shape[2:]), target, work.seconds, record, sheet)


def rerun(again: Rerun) -> Mixed:
    """Make a recorded grid again; errors as those of `mix`."""
    request = again.record.request
    first, last = request["layers"]
    return mix(
        again.load(LoadedGenerator),
        request["rows"],
        request["columns"],
        (first, last),
        again.output,
        label=request["class"],
        prompt=request.get("prompt"),
        force=True,
        on_step=again.on_step,
    )


def _sheet(pictures: Sequence[Tensor], rows: int, columns: int) -> Tensor:
    """Lay out row sources at the left, column sources on top, and their mixtures between."""
    corner = torch.ones_like(pictures[0])
    sheet = [corner, *pictures[rows : rows + columns]]
    for row in range(rows):
        start = rows + columns + row * columns
        sheet += [pictures[row], *pictures[start : start + columns]]
    return to_grid(sheet, columns=columns + 1, padding=2)
