"""Brings pictures of any size to the square that a tower takes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract import ImageError

__all__ = ["to_square"]


def to_square(images: Tensor, side: int) -> Tensor:
    """Return pictures `[n, 3, side, side]`, scaled to fit and padded with white; differentiable, and never clamped.

    Args:
        images: `[n, 3, H, W]`.
        side: In pixels.

    Raises:
        ImageError: They are not pictures, or have no pixels.
    """
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise ImageError(f"images are {list(images.shape)}, expected [n, 3, H, W]")
    height, width = images.shape[2:]
    if (height, width) == (side, side):
        return images
    scale = side / max(height, width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    scaled = functional.interpolate(images, size=(height, width), mode="bilinear", antialias=True)
    top, left = (side - height) // 2, (side - width) // 2
    return functional.pad(scaled, (left, side - width - left, top, side - height - top), value=1.0)
