"""What the image processors of `transformers` do for CLIP and SigLIP, differentiable and without torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract import ImageError

__all__ = ["Preprocessing"]

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_FILTERS = {2: "bilinear", 3: "bicubic"}
"""By Pillow's numbers."""


@dataclass(frozen=True)
class Preprocessing:
    """Scales pictures to the network's square, and normalises their channels."""

    side: int
    crop: bool
    """Scale the short side and cut the long one; otherwise both are scaled to `side`."""
    filter: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, described: Mapping[str, Any], family: str, side: int) -> Preprocessing:
        """Return what a `preprocessor_config.json` describes, with the family's defaults for what it leaves out.

        Args:
            described: Its contents; empty where there is no such file.
            family: `"clip"` or `"siglip"`.
            side: That the network was built for, in pixels.
        """
        clip = family == "clip"
        return cls(
            side=side,
            crop=bool(described.get("do_center_crop", clip)),
            filter=_FILTERS.get(described.get("resample", 3), "bicubic"),
            mean=tuple(described.get("image_mean") or (_CLIP_MEAN if clip else (0.5,) * 3)),
            std=tuple(described.get("image_std") or (_CLIP_STD if clip else (0.5,) * 3)),
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Return `[n, 3, side, side]` for pictures `[n, 3, H, W]` in 0..1; never clamped.

        Raises:
            ImageError: They are not pictures.
        """
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
            raise ImageError(f"images are {list(images.shape)}, expected [n, 3, H, W]")
        if self.crop:
            short = min(images.shape[2:])
            top, left = ((length - short) // 2 for length in images.shape[2:])
            images = images[:, :, top : top + short, left : left + short]
        if images.shape[2:] != (self.side, self.side):
            images = functional.interpolate(images, size=(self.side,) * 2, mode=self.filter, antialias=True)
        mean, std = (torch.tensor(each).to(images).view(1, 3, 1, 1) for each in (self.mean, self.std))
        return (images - mean) / std
