"""The verb `stylize`: a photo and styles become a saved picture that carries the record of its making.

    from ganart_zoo import Zoo
    from ganart_zoo.tasks.stylize import stylize

    stylize(Zoo(), "photo.jpg", ["painting.jpg"], "out.png", size=512, settings={"steps": 100})

`stylize` makes one picture. A `Stylizer` keeps the model and the styles, for many.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ganart_zoo.contract.events import OnStep
from ganart_zoo.imaging.record import Record
from ganart_zoo.registry import Zoo
from ganart_zoo.running.calls import stopping_at
from ganart_zoo.running.pictures import Picture
from ganart_zoo.running.stylists import DEFAULT_MODEL, DEFAULT_SIZE, StyleInput, Stylized, Stylizer

__all__ = ["DEFAULT_MODEL", "DEFAULT_SIZE", "StyleInput", "Stylized", "Stylizer", "rerun", "stylize"]


def stylize(
    zoo: Zoo,
    content: Picture,
    styles: Sequence[StyleInput | Picture] = (),
    output: str | os.PathLike[str] | None = None,
    *,
    model: str = DEFAULT_MODEL,
    settings: Mapping[str, Any] | None = None,
    init: Picture | None = None,
    seed: int = 0,
    size: int | None = DEFAULT_SIZE,
    weights: str | Path | None = "default",
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    fetch: bool = False,
    on_step: OnStep | None = None,
) -> Stylized:
    """Restyle one picture; arguments and errors as those of `Stylizer` and its call."""
    stylizer = Stylizer(
        zoo,
        model,
        styles,
        settings=settings,
        init=init,
        seed=seed,
        size=size,
        weights=weights,
        device=device,
        dtype=dtype,
        fetch=fetch,
    )
    return stylizer(content, None if output is None else Path(output), on_step=on_step)


def rerun(
    zoo: Zoo,
    record: Record,
    files: Mapping[str, Path],
    output: Path,
    *,
    device: str,
    fetch: bool = False,
    on_step: OnStep | None = None,
) -> Stylized:
    """Make the picture of a record again.

    Args:
        zoo: Where models come from.
        record: Of a stylized picture.
        files: The input files by role, as `record.inputs` names them.
        output: Where the new picture goes.
        device: Where the model computes.
        fetch: Download missing weights.
        on_step: Called after each step. Work that was stopped stops at the same step again.

    Raises:
        GanartError: The model cannot be built as recorded, or see `Stylizer`.
    """
    settings = {**record.model.to_settings(), **record.options}
    styles = [
        StyleInput(
            image=files.get(f"style {number}"),
            name=style["name"],
            weight=style["weight"],
            region=files.get(f"region {number}"),
            source_region=files.get(f"source region {number}"),
        )
        for number, style in enumerate(record.request["styles"], start=1)
    ]
    stylizer = Stylizer(
        zoo,
        settings.pop("model"),
        styles,
        weights=settings.pop("weights"),
        settings=settings,
        init=files.get("init"),
        seed=record.seed,
        size=record.request["size"],
        device=device,
        dtype=getattr(torch, record.model.dtype),
        fetch=fetch,
    )
    return stylizer(files["content"], output, on_step=stopping_at(record.request["stopped_at"], on_step))
