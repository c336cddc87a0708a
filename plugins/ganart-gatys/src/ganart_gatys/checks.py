"""Checks of the styles of a call."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ganart_zoo.contract import SettingsError, Style
from ganart_zoo.perceptual import check_pictures, check_region

__all__ = ["check_styles"]


def check_styles(styles: Sequence[Style], content: Tensor) -> None:
    """Check that there is at least one style, and that pictures, weights and regions fit together.

    Raises:
        ImageError: A style's picture is not a picture, or too small.
        SettingsError: Something else does not fit.
    """
    if not styles:
        raise SettingsError("no style was given; gatys takes one style picture or more")
    for number, style in enumerate(styles, 1):
        what = f"style {number}"
        if style.name is not None:
            raise SettingsError(f"{what} is the name {style.name!r}, but gatys has no named styles; give a picture")
        if style.image is None:
            raise SettingsError(f"{what} has no picture; gatys takes pictures as styles")
        check_pictures(what, style.image)
        if len(style.image) != 1:
            raise SettingsError(f"{what} holds {len(style.image)} pictures, expected one; give one Style for each")
        if not 0 <= style.weight < float("inf"):
            raise SettingsError(f"{what} has weight {style.weight}, expected a finite number of 0 or more")
        check_region(f"the region of {what}", style.region, content, "the content")
        check_region(f"the source region of {what}", style.source_region, style.image, "its picture")
    if sum(style.weight for style in styles) == 0:
        raise SettingsError("the weights of all styles are 0; raise one")
