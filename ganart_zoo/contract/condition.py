"""What a picture is asked to be: conditions for generators and critics, styles for style transfer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

__all__ = ["Condition", "Style"]


class Condition(NamedTuple):
    """What generators and critics are conditioned on. All parts are optional; each has 1 row, or n."""

    labels: Tensor | None = None
    """Class indices, int64 `[n]`."""
    prompts: Sequence[str] | None = None
    images: Tensor | None = None
    """Reference pictures `[n, 3, H, W]` in 0..1."""
    embedding: Tensor | None = None
    """What `Model.embed` made of the rest, so that a loop pays for it once."""


@dataclass(frozen=True, eq=False)
class Style:
    """One style for `StyleTransfer.stylize`: a picture, or the name of a learned style."""

    image: Tensor | None = None
    """`[1, 3, H, W]` in 0..1."""
    name: str | None = None
    """One of the model's `style_names`."""
    weight: float = 1.0
    """Its share: the weights of one call are divided by their sum."""
    region: Tensor | None = None
    """`[1, 1, H, W]` in 0..1 over the content: where this style goes. None: everywhere."""
    source_region: Tensor | None = None
    """`[1, 1, H, W]` in 0..1 over the style picture: what part is taken. None: all."""
