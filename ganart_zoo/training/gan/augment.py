"""Differentiable augmentation, applied to real and generated pictures before the critic sees them.

`DiffAugment` (Zhao et al. 2020, https://arxiv.org/abs/2006.10738) is a fixed probability of 1; `AdaptiveProbability`
(Karras et al. 2020, https://arxiv.org/abs/2006.06676) raises and lowers it. Every change consists of gathers,
products and sums, so it can be differentiated twice, as R1 needs (torch's grid_sample cannot).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["AdaptiveProbability", "Augment"]

_GREY = 0.5  # fills the pixels that a shift or a cut leaves empty


class Augment:
    """Applies random changes to pictures, from numbers drawn beforehand: the same numbers give the same changes.

    Args:
        policy: Of `"flip"`, `"colour"`, `"translation"`, `"cutout"`, `"affine"`.
    """

    def __init__(self, policy: Sequence[str]) -> None:
        self._steps = [(name, *_CHANGES[name]) for name in policy]
        self.columns = sum(1 + width for _, width, _ in self._steps)
        """Uniform numbers needed per picture."""

    def __call__(self, images: Tensor, draw: Tensor, probability: float) -> Tensor:
        """Return the changed pictures; at probability 0, exactly the pictures given.

        Args:
            images: `[n, 3, H, W]`.
            draw: `[n, columns]` in [0, 1).
            probability: Probability of each kind of change, independently for each picture.
        """
        if probability == 0:
            return images
        draw = draw.to(images)
        column = 0
        for _, width, change in self._steps:
            chosen = (draw[:, column] < probability).view(-1, 1, 1, 1)
            numbers = draw[:, column + 1 : column + 1 + width].T.reshape(width, len(images), 1, 1, 1)
            images = torch.where(chosen, change(images, numbers), images)
            column += 1 + width
        return images


class AdaptiveProbability:
    """Holds the critic's mean sign on real pictures at a target: above it, the critic overfits and sees more changes.

    Args:
        probability: Where it starts.
        target: Mean sign, 0 to 1; None keeps the probability fixed.
        speed: Pictures it takes at least from 0 to 1.
        interval: Steps between corrections.
    """

    def __init__(self, probability: float, target: float | None, speed: float, interval: int) -> None:
        self.probability = probability
        self._target = target
        self._speed = speed
        self._interval = interval

    def wants(self, step: int) -> bool:
        """Say whether a correction is due at this step."""
        return self._target is not None and (step + 1) % self._interval == 0

    def correct(self, mean_sign: float, pictures: int) -> None:
        """Move towards the target.

        Args:
            mean_sign: Mean over real pictures of the sign of the critic's decision, -1 to 1.
            pictures: Real pictures per step.
        """
        assert self._target is not None
        change = pictures * self._interval / self._speed
        change = math.copysign(change, mean_sign - self._target) if mean_sign != self._target else 0.0
        self.probability = min(1.0, max(0.0, self.probability + change))


def _flip(images: Tensor, numbers: Tensor) -> Tensor:
    return images.flip(3)


def _colour(images: Tensor, numbers: Tensor) -> Tensor:
    brightness, saturation, contrast = numbers.unbind()
    images = images + 0.5 * (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + 2 * saturation * (images - grey)
    mean: Tensor = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (contrast + 0.5) * (images - mean)


def _translation(images: Tensor, numbers: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    down = _whole(numbers[0, :, 0], -(height // 8), height // 8)
    right = _whole(numbers[1, :, 0], -(width // 8), width // 8)
    rows, columns = _pixels(images)
    rows, columns = rows - down, columns - right
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    moved = _gather(images, rows.clamp(0, height - 1), columns.clamp(0, width - 1))
    return torch.where(inside.unsqueeze(1), moved, torch.full_like(moved, _GREY))


def _cutout(images: Tensor, numbers: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    top = _whole(numbers[0, :, 0], -(height // 4), height - height // 4)
    left = _whole(numbers[1, :, 0], -(width // 4), width - width // 4)
    rows, columns = _pixels(images)
    hole = (rows >= top) & (rows < top + height // 2) & (columns >= left) & (columns < left + width // 2)
    return torch.where(hole.unsqueeze(1), torch.full_like(images, _GREY), images)


def _affine(images: Tensor, numbers: Tensor) -> Tensor:
    """Turn by up to 30 degrees, scale by up to 2**0.4, shift by up to an eighth; edges are mirrored."""
    height, width = images.shape[-2:]
    turn, scale, down, right = numbers[:, :, 0]
    angle = (2 * turn - 1) * (math.pi / 6)
    zoom = 2 ** (0.4 * (2 * scale - 1))
    rows, columns = _pixels(images)
    y = rows - (height - 1) / 2 - (down - 0.5) * height / 4
    x = columns - (width - 1) / 2 - (right - 0.5) * width / 4
    source_y = (angle.sin() * x + angle.cos() * y) / zoom + (height - 1) / 2
    source_x = (angle.cos() * x - angle.sin() * y) / zoom + (width - 1) / 2
    return _bilinear(images, _mirrored(source_y, height), _mirrored(source_x, width))


_CHANGES: dict[str, tuple[int, Callable[[Tensor, Tensor], Tensor]]] = {
    "flip": (0, _flip),
    "colour": (3, _colour),
    "translation": (2, _translation),
    "cutout": (2, _cutout),
    "affine": (4, _affine),
}


def _whole(numbers: Tensor, lowest: int, highest: int) -> Tensor:
    """Spread uniform numbers over the whole numbers from `lowest` to `highest`, both included."""
    return lowest + (numbers * (highest - lowest + 1)).floor().long()


def _pixels(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row and the column of every pixel, `[1, H, 1]` and `[1, 1, W]`."""
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    return rows.view(1, -1, 1), columns.view(1, 1, -1)


def _gather(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the pixels at whole positions `[n, H, W]` (broadcast)."""
    n, channels, height, width = images.shape
    index = (rows * width + columns).expand(n, height, width).reshape(n, 1, -1).expand(n, channels, -1)
    return images.flatten(2).gather(2, index).view_as(images)


def _bilinear(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    top, left = y.floor(), x.floor()
    below, beside = (y - top).unsqueeze(1), (x - left).unsqueeze(1)
    top, left = top.long().clamp(0, height - 1), left.long().clamp(0, width - 1)
    bottom, right = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
    upper = _gather(images, top, left).lerp(_gather(images, top, right), beside)
    lower = _gather(images, bottom, left).lerp(_gather(images, bottom, right), beside)
    return upper.lerp(lower, below)


def _mirrored(position: Tensor, size: int) -> Tensor:
    """Fold positions outside 0..size - 1 back in, as a mirror at the outermost pixels would."""
    if size == 1:
        return torch.zeros_like(position)
    period = 2 * (size - 1)
    folded = position.remainder(period)
    return torch.minimum(folded, period - folded)
