"""Checks of what a call of a style transfer takes: pictures, a start, and regions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Previous, Style
from ganart_zoo.contract.errors import ImageError, SettingsError
from ganart_zoo.perceptual.scales import SMALLEST_SIDE

__all__ = ["check_init", "check_pictures", "check_previous", "check_region", "check_styles"]


def check_pictures(what: str, pictures: Tensor, smallest_side: int = SMALLEST_SIDE) -> None:
    """Check that `pictures` are finite floating-point `[n, 3, H, W]`, n at least 1, of a sufficient size.

    Args:
        what: The name in messages, such as `"content"`.
        pictures: Anything.
        smallest_side: Pixels.

    Raises:
        ImageError: They are not.
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
        raise ImageError(
            f"{what} is {pictures.dtype} {list(pictures.shape)}, expected floating point [n, 3, H, W] in 0..1"
        )
    height, width = pictures.shape[-2:]
    if min(height, width) < smallest_side or len(pictures) == 0:
        raise ImageError(
            f"{what} is {len(pictures)} x {width}x{height} pixels; expected one picture or more, of at least "
            f"{smallest_side} pixels a side"
        )
    if not torch.isfinite(pictures).all():
        raise ImageError(f"{what} has values that are NaN or infinite, expected 0..1")


def check_init(init: Tensor | None, content: Tensor) -> None:
    """Check that the picture to start from, if there is one, fits the content.

    Raises:
        ImageError: It is not a picture.
        SettingsError: Its shape is not the content's.
    """
    if init is None:
        return
    check_pictures("init", init)
    if init.shape != content.shape:
        raise SettingsError(f"init is {list(init.shape)}, expected the content's {list(content.shape)}; resize it")


def check_previous(previous: Previous | None, content: Tensor) -> None:
    """Check that what a frame should keep, if there is anything, fits the content.

    Raises:
        ImageError: It is not a picture.
        SettingsError: A shape is not the content's, or the mask is not in 0..1.
    """
    if previous is None:
        return
    image, mask = previous
    check_pictures("the image of previous", image)
    expected = [len(content), 1, *content.shape[-2:]]
    if image.shape != content.shape or list(mask.shape) != expected or not mask.is_floating_point():
        raise SettingsError(
            f"previous has an image {list(image.shape)} and a {mask.dtype} mask {list(mask.shape)}, expected the "
            f"content's {list(content.shape)} and floating point {expected}"
        )
    # NaN fails both comparisons
    if not (mask.min() >= 0 and mask.max() <= 1):
        raise SettingsError(f"the mask of previous has values from {mask.min():g} to {mask.max():g}, expected 0..1")


def check_region(what: str, region: Tensor | None, over: Tensor, over_what: str) -> None:
    """Check that a region, if there is one, is floating-point `[1, 1, H, W]` in 0..1 and not empty.

    Args:
        what: The name in messages, such as `"the region of style 1"`.
        region: Anything.
        over: The picture `[n, c, H, W]` that it must match.
        over_what: The name of that picture in messages.

    Raises:
        SettingsError: It is not.
    """
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
        raise SettingsError(f"{what} is empty: all its values are 0; mark some pixels, or leave the region out")


def check_styles(model: str, styles: Sequence[Style], content: Tensor) -> None:
    """Check that there is at least one style, and that pictures, weights and regions fit together.

    Args:
        model: The name in messages.
        styles: Pictures, of 16 pixels a side or more.
        content: `[n, c, H, W]`, which regions must match.

    Raises:
        ImageError: A style's picture is not a picture, or too small.
        SettingsError: Something else does not fit.
    """
    if not styles:
        raise SettingsError(f"no style was given; {model} takes one style picture or more")
    for number, style in enumerate(styles, 1):
        what = f"style {number}"
        if style.name is not None:
            raise SettingsError(f"{what} is the name {style.name!r}, but {model} has no named styles; give a picture")
        if style.image is None:
            raise SettingsError(f"{what} has no picture; {model} takes pictures as styles")
        check_pictures(what, style.image)
        if len(style.image) != 1:
            raise SettingsError(f"{what} holds {len(style.image)} pictures, expected one; give one Style for each")
        if not 0 <= style.weight < float("inf"):
            raise SettingsError(f"{what} has weight {style.weight}, expected a finite number of 0 or more")
        check_region(f"the region of {what}", style.region, content, "the content")
        check_region(f"the source region of {what}", style.source_region, style.image, "its picture")
    if sum(style.weight for style in styles) == 0:
        raise SettingsError("the weights of all styles are 0; raise one")
