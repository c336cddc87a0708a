"""The verb `stylize`: a photo and styles become a saved picture with the record of how it was made.

    from ganart_zoo import Zoo
    from ganart_zoo.tasks.stylize import stylize

    stylize(Zoo(), "photo.jpg", ["painting.jpg"], "out.png", size=512, settings={"steps": 100})

`stylize` restyles one picture. A `Stylizer` keeps the model and the styles, for many.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganart_zoo.contract.events import OnStep
from ganart_zoo.registry import Zoo
from ganart_zoo.running.calls import stopping_at
from ganart_zoo.running.pictures import Picture
from ganart_zoo.running.reruns import Rerun
from ganart_zoo.running.stylists import DEFAULT_MODEL, DEFAULT_SIZE, StyleInput, Stylized, Stylizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ganart_zoo.running.loaded import LoadOptions

__all__ = ["DEFAULT_MODEL", "DEFAULT_SIZE", "StyleInput", "Stylized", "Stylizer", "rerun", "stylize"]


def stylize(
    zoo: Zoo,
    content: Picture,
    styles: Sequence[StyleInput | Picture] = (),
    output: str | os.PathLike[str] | None = None,
    *,
    model: str | Path = DEFAULT_MODEL,
    init: Picture | None = None,
    seed: int = 0,
    size: int | None = DEFAULT_SIZE,
    on_step: OnStep | None = None,
    **how: Unpack[LoadOptions],
) -> Stylized:
    """Restyle one picture; arguments and errors are those of `Stylizer` and its call."""
    stylizer = Stylizer(zoo, model, styles, init=init, seed=seed, size=size, **how)
    return stylizer(content, None if output is None else Path(output), on_step=on_step)


def rerun(again: Rerun) -> Stylized:
    """Make a recorded picture again.

    Raises:
        GanartError: The model cannot be built as recorded, or see `Stylizer`.
    """
    stopped_at = again.record.request["stopped_at"]
    stylizer = Stylizer.recorded(again)
    return stylizer(again.files["content"], again.output, on_step=stopping_at(stopped_at, again.on_step))
