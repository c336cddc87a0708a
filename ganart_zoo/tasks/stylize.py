"""The verb `stylize`: a photo and styles become a saved picture with the record of how it was made.

    from ganart_zoo import Zoo
    from ganart_zoo.tasks.stylize import stylize

    stylize(Zoo(), "photo.jpg", ["painting.jpg"], "out.png", size=512, settings={"steps": 100})

`stylize` restyles one picture. A `Stylizer` keeps the model and the styles, for many. `contact_sheet` shows photos in
each of several styles, side by side.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.contract.events import OnStep
from ganart_zoo.imaging import save, to_grid
from ganart_zoo.imaging.decode import MAX_PIXELS
from ganart_zoo.registry import Zoo
from ganart_zoo.running.calls import stopping_at
from ganart_zoo.running.outputs import check_pictures
from ganart_zoo.running.pictures import Picture, name_of, read, shrink
from ganart_zoo.running.reruns import Rerun
from ganart_zoo.running.stylists import (
    DEFAULT_MODEL,
    DEFAULT_SIZE,
    LoadedStyleTransfer,
    StyleInput,
    Stylized,
    Stylizer,
)

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Unpack

    from ganart_zoo.running.loaded import LoadOptions

__all__ = ["DEFAULT_MODEL", "DEFAULT_SIZE", "StyleInput", "Stylized", "Stylizer", "contact_sheet", "rerun", "stylize"]


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
    max_memory: int | None = None,
    max_pixels: int = MAX_PIXELS,
    depth: int = 8,
    on_step: OnStep | None = None,
    **how: Unpack[LoadOptions],
) -> Stylized:
    """Restyle one picture; arguments and errors are those of `Stylizer` and its call."""
    stylizer = Stylizer(
        zoo,
        model,
        styles,
        init=init,
        seed=seed,
        size=size,
        max_memory=max_memory,
        max_pixels=max_pixels,
        depth=depth,
        **how,
    )
    return stylizer(content, None if output is None else Path(output), on_step=on_step)


def contact_sheet(
    zoo: Zoo,
    contents: Sequence[Picture],
    styles: Sequence[StyleInput | Picture] = (),
    output: str | os.PathLike[str] | None = None,
    *,
    model: str | Path = DEFAULT_MODEL,
    seed: int = 0,
    size: int | None = DEFAULT_SIZE,
    force: bool = False,
    on_step: OnStep | None = None,
    **how: Unpack[LoadOptions],
) -> Tensor | None:
    """Restyle photos in each style by itself, and return them side by side with their names, `[1, 3, H, W]`.

    Args:
        zoo: Where models come from.
        contents: The photos. One makes a square sheet; several make a row each.
        styles: Pictures or names. None: all styles that the model has learned.
        output: Where to save the sheet.
        model: A name, or the `Path` of a run.
        seed: For all noise.
        size: The long side of each picture; see `Stylizer`.
        force: Replace a file that ganart did not make, which an earlier sheet counts as too.
        on_step: Called after each step; where it returns False, nothing is saved and None is returned.
        **how: See `LoadOptions`.

    Raises:
        SettingsError: There are no contents, or no styles and the model has not learned any.
        GanartError: As `Stylizer` and its call say.
    """
    if not contents:
        raise SettingsError("no picture was given for the sheet; give one or more")
    if output is not None:
        check_pictures([Path(output)], force=force)
    if not styles:
        learned = LoadedStyleTransfer.load(zoo, model, **how).model.style_names
        if not learned:
            raise SettingsError(f"{model} has learned no styles to show; give styles")
        styles = [StyleInput(name=name) for name in learned]
    stylizer = Stylizer(zoo, model, styles, seed=seed, size=size, **how)
    pictures, captions = [], []
    for content in contents:
        pictures.append(shrink(read(content), size))
        captions.append(_title(content))
        for number, style in enumerate(styles, start=1):
            made = stylizer.alone(number)(content, on_step=on_step)
            if made.stopped:
                return None
            pictures.append(made.images.cpu().clamp(0, 1))
            captions.append(_title(style))
    cells = len(styles) + 1
    sheet = to_grid(pictures, columns=cells if len(contents) > 1 else math.ceil(math.sqrt(cells)), captions=captions)
    if output is not None:
        save(sheet, output)
    return sheet


def _title(picture: StyleInput | Picture) -> str:
    """Return what a picture or style is called on a sheet."""
    if isinstance(picture, StyleInput):
        return picture.name or ("" if picture.image is None else _title(picture.image))
    return Path(picture).stem if isinstance(picture, (str, os.PathLike)) else name_of(picture)


def rerun(again: Rerun) -> Stylized:
    """Make a recorded picture again.

    Raises:
        GanartError: The model cannot be built as recorded, or see `Stylizer`.
    """
    stopped_at = again.record.request["stopped_at"]
    stylizer = Stylizer.recorded(again)
    return stylizer(again.files["content"], again.output, on_step=stopping_at(stopped_at, again.on_step))
