"""Changes of captioned pictures that the caption mentions: another colour, or another place in the picture.

Generator and critic share them, so that both mean the same by "blue" and by "on the left".
"""

from __future__ import annotations

import math
import re
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.data.captions import held_out

__all__ = [
    "HUES",
    "PLACES",
    "chroma",
    "held_out_colour",
    "place",
    "placed_caption",
    "recolour",
    "recoloured_caption",
    "without_colour",
]

HUES = MappingProxyType(
    {
        "red": (1.0, 0.0, 0.0),
        "orange": (1.0, 0.5, 0.0),
        "yellow": (1.0, 0.85, 0.0),
        "green": (0.0, 1.0, 0.2),
        "blue": (0.0, 0.4, 1.0),
        "purple": (0.6, 0.0, 1.0),
        "pink": (1.0, 0.0, 0.55),
        "grey": (0.5, 0.5, 0.5),
    }
)
"""Pure hues of the colour words, each with largest value 1 and smallest 0, except for grey."""

PLACES = MappingProxyType(
    {
        "on the left": (-1, 0),
        "on the right": (1, 0),
        "at the top": (0, -1),
        "at the bottom": (0, 1),
    }
)
"""Directions of the words for places; x grows to the right and y downwards."""

_COLOUR_WORD = re.compile(rf"\b(?:{'|'.join([*HUES, 'black', 'white', 'brown'])})\b\s*", re.IGNORECASE)


def chroma(pictures: Tensor) -> Tensor:
    """Return how colourful each picture is: the mean of largest less smallest channel over pixels that are not white.

    Args:
        pictures: `[n, 3, H, W]` in 0..1.

    Returns:
        `[n]` in 0..1.
    """
    spread = pictures.amax(dim=1) - pictures.amin(dim=1)
    ink = (pictures.amin(dim=1) < 0.95).to(pictures.dtype)
    return (spread * ink).sum(dim=(1, 2)) / ink.sum(dim=(1, 2)).clamp(min=1)


def recolour(pictures: Tensor, colour: str) -> Tensor:
    """Give every coloured pixel one hue, keeping the lightness and chroma of HSL; white, grey and black stay.

    Args:
        pictures: `[n, 3, H, W]` in 0..1.
        colour: A key of `HUES`.

    Raises:
        SettingsError: The colour is unknown.
    """
    if colour not in HUES:
        raise SettingsError(f"colour is {colour!r}, expected one of {', '.join(HUES)}")
    hue = pictures.new_tensor(HUES[colour]).view(3, 1, 1)
    high, low = pictures.amax(dim=1, keepdim=True), pictures.amin(dim=1, keepdim=True)
    recoloured = (high + low) / 2 + (high - low) * (hue - 0.5)
    return recoloured.clamp(0, 1)


def place(pictures: Tensor, where: str, *, scale: float = 0.55) -> Tensor:
    """Shrink pictures and put them on one side of a white square of the old size.

    Args:
        pictures: `[n, 3, S, S]` in 0..1.
        where: A key of `PLACES`.
        scale: Side of the shrunk picture as a share of the old side, at most 1.

    Raises:
        SettingsError: The place is unknown.
    """
    if where not in PLACES:
        raise SettingsError(f"place is {where!r}, expected one of {', '.join(PLACES)}")
    side = pictures.shape[-1]
    small = max(1, math.floor(side * scale))
    shrunk = functional.interpolate(pictures, size=(small, small), mode="bilinear", antialias=True)
    across, down = ((side - small) // 2 + direction * ((side - small) // 2) for direction in PLACES[where])
    placed = torch.ones_like(pictures)
    placed[:, :, down : down + small, across : across + small] = shrunk
    return placed


def placed_caption(caption: str, where: str) -> str:
    """Return the caption of a picture after `place`: the place stands before the first comma, which sets off the style.

    Example:
        >>> placed_caption("lion, 3d", "on the left")
        'lion on the left, 3d'
    """
    name, comma, rest = caption.partition(",")
    return f"{name.rstrip()} {where}{comma}{rest}"


def without_colour(caption: str) -> str:
    """Return a caption without its first colour word.

    Example:
        >>> without_colour("red apple, 3d")
        'apple, 3d'
    """
    return _COLOUR_WORD.sub("", caption, count=1)


def recoloured_caption(caption: str, colour: str) -> str:
    """Return the caption of a picture after `recolour`: its first colour word is replaced, or the new one put first.

    Example:
        >>> recoloured_caption("red apple, 3d", "blue")
        'blue apple, 3d'
        >>> recoloured_caption("apple", "blue")
        'blue apple'
    """
    recoloured, count = _COLOUR_WORD.subn(f"{colour} ", caption, count=1)
    return recoloured.rstrip() if count else f"{colour} {caption}"


def held_out_colour(name: str, colour: str) -> bool:
    """Return whether a colour of an object belongs to the tenth of such pairs that training leaves out.

    Args:
        name: Of the object, with or without a colour word.
        colour: A key of `HUES`.
    """
    return held_out(f"{colour} {without_colour(name)}", salt="colour")
