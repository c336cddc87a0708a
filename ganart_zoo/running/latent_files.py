"""Files of latents, which `project` saves beside pictures: writing, reading and painting them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.contract.events import OnStep
from ganart_zoo.contract.models import StyleGenerator
from ganart_zoo.contract.rng import generator as seeded
from ganart_zoo.contract.tensors import load_tensors
from ganart_zoo.imaging.files import whole_file
from ganart_zoo.running.generators import LoadedGenerator
from ganart_zoo.running.results import check_result

__all__ = ["Latents", "Paint", "painter", "read_latents", "write_latents"]

Paint = Callable[[Tensor], Tensor]
"""Returns the pictures `[n, 3, H, W]` of n latents."""


class Latents(NamedTuple):
    """Points from which a generator paints pictures."""

    kind: Literal["z", "ws"]
    """Latents, or the styles of a style generator; the tensor in a file has this name."""
    rows: Tensor
    """`[n, *latent_shape]` or `[n, num_ws, w_dim]`."""


def write_latents(path: Path, latents: Latents) -> None:
    """Write a `.safetensors` file.

    Raises:
        ImageError: It cannot be written.
    """
    try:
        with whole_file(path) as part:
            save_file({latents.kind: latents.rows.contiguous()}, part)
    except OSError as error:
        raise ImageError(f"{path}: not written: {error.strerror or error}") from None


def read_latents(generator: LoadedGenerator, path: str | os.PathLike[str]) -> Latents:
    """Read a file that `write_latents` wrote, onto the generator's device and in its compute type.

    Raises:
        WeightsError: There is no such file, or it is damaged.
        SettingsError: It holds no latents, or they do not fit this generator.
    """
    tensors, name = load_tensors(Path(path)), generator.entry.canonical
    kinds = [kind for kind in ("z", "ws") if kind in tensors]
    if len(kinds) != 1:
        raise SettingsError(f"{path} holds {', '.join(tensors) or 'nothing'}, expected z or ws as ganart project saves")
    (kind,) = kinds
    if kind == "ws":
        model = generator.styled("a file of styles")
        shape: tuple[int, ...] = (model.num_ws, model.w_dim)
    else:
        shape = generator.model.latent_shape
    rows = tensors[kind]
    if rows.shape[1:] != shape or not len(rows) or not torch.isfinite(rows).all():
        raise SettingsError(
            f"{path}: {kind} is {list(rows.shape)}, expected finite [n, {', '.join(map(str, shape))}] for {name}"
        )
    rows = rows.to(generator.model.device, generator.model.compute_dtype)
    return Latents("z" if kind == "z" else "ws", rows)


def painter(
    generator: LoadedGenerator,
    kind: Literal["z", "ws"],
    condition: Condition | None,
    seed: int,
    on_step: OnStep | None = None,
) -> Paint:
    """Return a function that paints latents of a kind.

    Styles are used as they are. A generator without styles draws its noise from `seed`, the same in all rows.
    """
    if kind == "ws":
        synthesize = generator.styled("painting styles").synthesize
        return lambda ws: check_result(synthesize(ws), len(ws))

    def paint(rows: Tensor) -> Tensor:
        rng = None if isinstance(generator.model, StyleGenerator) else [seeded(seed) for _ in range(len(rows))]
        images = generator.model(rows, condition, rng=rng, options=generator.options, on_step=on_step)
        return check_result(images, len(rows))

    return paint
