"""What a call may be given: pictures, styles and regions that fit together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganart_gatys.schedule import SMALLEST_SIDE
from ganart_zoo.contract import ImageError, SettingsError, Style

__all__ = ["check_content", "check_init", "check_styles"]


def check_content(content: Tensor) -> None:
    """Refuse a content that is not finite `[n, 3, H, W]` of at least 16 pixels a side."""
    _check_picture("content", content)


def check_init(init: Tensor | None, content: Tensor, start: str) -> None:
    """Refuse a picture to start from of another shape than the content, or beside `start='noise'`."""
    if init is None:
        return
    if start == "noise":
        raise SettingsError("an init picture and start='noise' were both given; leave one out")
    _check_picture("init", init)
    if init.shape != content.shape:
        raise SettingsError(f"init is {list(init.shape)}, expected the content's {list(content.shape)}; resize it")


def check_styles(styles: Sequence[Style], content: Tensor) -> None:
    """Refuse no styles, named ones, unfit pictures, weights and regions."""
    if not styles:
        raise SettingsError("no style was given; gatys takes one style picture or more")
    for number, style in enumerate(styles, 1):
        what = f"style {number}"
        if style.name is not None:
            raise SettingsError(f"{what} is the name {style.name!r}, but gatys knows no names; give a picture")
        if style.image is None:
            raise SettingsError(f"{what} has no picture; gatys takes pictures as styles")
        _check_picture(what, style.image)
        if len(style.image) != 1:
            raise SettingsError(f"{what} holds {len(style.image)} pictures, expected one; give a Style for each")
        if not 0 <= style.weight < float("inf"):
            raise SettingsError(f"{what} has weight {style.weight}, expected a finite number of 0 or more")
        _check_region(f"the region of {what}", style.region, content, "the content")
        _check_region(f"the source region of {what}", style.source_region, style.image, "its picture")
    if sum(style.weight for style in styles) == 0:
        raise SettingsError("the weights of all styles are 0; raise one")


def _check_picture(what: str, picture: Tensor) -> None:
    if picture.ndim != 4 or picture.shape[1] != 3 or not picture.is_floating_point():
        raise ImageError(
            f"{what} is {picture.dtype} {list(picture.shape)}, expected floating point [n, 3, H, W] in 0..1"
        )
    height, width = picture.shape[-2:]
    if min(height, width) < SMALLEST_SIDE or len(picture) == 0:
        raise ImageError(
            f"{what} is {len(picture)} x {width}x{height} pixels; expected one or more, of {SMALLEST_SIDE} a side"
        )
    if not torch.isfinite(picture).all():
        raise ImageError(f"{what} has values that are NaN or infinite, expected 0..1")


def _check_region(what: str, region: Tensor | None, over: Tensor, over_what: str) -> None:
    if region is None:
        return
    expected = [1, 1, *over.shape[-2:]]
    if list(region.shape) != expected or not region.is_floating_point():
        raise SettingsError(
            f"{what} is {region.dtype} {list(region.shape)}, expected floating point {expected} to match {over_what}"
        )
    # NaN fails both comparisons
    if not (region.min() >= 0 and region.max() <= 1):
        raise SettingsError(f"{what} has values from {region.min():g} to {region.max():g}, expected 0..1")
    if region.max() == 0:
        raise SettingsError(f"{what} is empty: all its values are 0; mark something, or leave it out")
