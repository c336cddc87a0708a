"""Conditions for generators and critics; for style transfer styles, and what was painted on the frame before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from ganart_zoo.contract.errors import SettingsError

__all__ = ["Condition", "Previous", "Style"]


class Condition(NamedTuple):
    """What generators and critics are conditioned on. Every part is optional and has either 1 row or n rows."""

    labels: Tensor | None = None
    """Class indices, int64 `[n]`."""
    prompts: Sequence[str] | None = None
    images: Tensor | None = None
    """Reference pictures `[n, 3, H, W]` in 0..1."""
    embedding: Tensor | None = None
    """What `Model.embed` computed from the other parts, so that a loop computes it only once."""

    def rows(self, n: int) -> Condition:
        """Return this condition with n rows in every part; a single row is repeated.

        Raises:
            SettingsError: A part has neither 1 row nor n rows.
        """
        return Condition(*(None if part is None else _rows(part, n, name) for name, part in self._asdict().items()))

    def repeated(self, times: int) -> Condition:
        """Return this condition with all its rows, one after another, `times` times."""
        return Condition(*(None if part is None else _repeated(part, times) for part in self))


def _repeated(part: Any, times: int) -> Any:
    return part.repeat(times, *[1] * (part.ndim - 1)) if isinstance(part, Tensor) else tuple(part) * times


def _rows(part: Any, n: int, name: str) -> Any:
    # len() would fix the number of rows in an exported network.
    rows = part.shape[0] if isinstance(part, Tensor) else len(part)
    if rows not in (1, n):
        raise SettingsError(f"condition: {rows} rows of {name} for {n} pictures; give 1 or {n}")
    if isinstance(part, Tensor):
        return part.expand(n, *part.shape[1:])
    return tuple(part) * n if rows == 1 else tuple(part)


@dataclass(frozen=True, eq=False)
class Style:
    """One style for `StyleTransfer.stylize`: a picture, or the name of a learned style."""

    image: Tensor | None = None
    """`[1, 3, H, W]` in 0..1."""
    name: str | None = None
    """One of the model's `style_names`."""
    weight: float = 1.0
    """Its share of the result. The weights of one call are divided by their sum."""
    region: Tensor | None = None
    """`[1, 1, H, W]` in 0..1 over the content: where this style is applied. None means everywhere."""
    source_region: Tensor | None = None
    """`[1, 1, H, W]` in 0..1 over the style picture: the part to take the style from. None means all of it."""


class Previous(NamedTuple):
    """What a frame of a clip should keep: the result for the frame before it, moved to where its parts are now.

    For `StyleTransfer.stylize` of models with the capability `temporal`.
    """

    image: Tensor
    """`[n, 3, H, W]`, of the content's size."""
    mask: Tensor
    """`[n, 1, H, W]` in 0..1: how far the image is right, 0 where something comes into view."""
