"""The interface of all kinds of picture data, and the scaling and cropping of pictures to the training size."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract.draws import key_generator
from ganart_zoo.contract.errors import ImageError
from ganart_zoo.imaging.images import resize

__all__ = [
    "LEAST_SCALING",
    "MOST_ASPECT",
    "Batch",
    "Batches",
    "Crop",
    "Data",
    "Sample",
    "Share",
    "as_text",
    "cut",
    "fit_square",
    "scaled",
]

Crop = Literal["centre", "random", "stretch", "pad"]

LEAST_SCALING = 2
"""A JPEG is decoded at no less than this multiple of the side needed, and then scaled with a good filter."""


MOST_ASPECT = 8
"""The aspect ratio up to which a picture is enlarged whole before a square is cut from it. A strip of 1×30000 pixels
would need gigabytes."""


class Sample(NamedTuple):
    """One picture with its label and prompt."""

    image: Tensor
    """`[3, size, size]`, uint8."""
    label: int | None = None
    prompt: str | None = None


class Batch(NamedTuple):
    """The rows of a global batch that one process computes."""

    images: Tensor
    """`[n, 3, size, size]`, uint8."""
    labels: Tensor | None
    """`[n]`, int64."""
    prompts: tuple[str, ...] | None
    skipped: tuple[str, ...]
    """A line for each picture that could not be read and was skipped, with its name and the reason."""
    position: Any
    """The start of the next batch of this process, as JSON data."""


class Share(NamedTuple):
    """The pictures of each global batch that a process computes, and the number of parts it computes them in."""

    batch: int
    """The number of pictures in the global batch."""
    process: int = 0
    processes: int = 1
    parts: int = 1

    @property
    def rows(self) -> int:
        """The number of pictures this process computes at once."""
        return self.batch // (self.parts * self.processes)

    def part(self, number: int) -> range:
        """Return the rows of the global batch that this process computes in one part."""
        start = (number * self.processes + self.process) * self.rows
        return range(start, start + self.rows)


class Batches(Protocol):
    """An endless sequence of batches, which depends only on the seed."""

    def __call__(self, position: Any = None) -> Iterator[Batch]:
        """Yield batches from a `Batch.position` on, or from the start for None.

        Raises:
            ImageError: No picture can be read.
        """
        ...


class Data(ABC):
    """Training pictures."""

    size: int
    """The side of the pictures, in pixels."""
    class_names: tuple[str, ...] = ()
    """Empty if the pictures have no labels."""
    prompts: Sequence[str] | None = None
    """Some of the prompts, for sample grids; None if the pictures have none."""
    notes: tuple[str, ...] = ()
    """Lines that a user should see once: inferred classes, captions without pictures, and files that are left out."""

    @abstractmethod
    def loader(self, share: Share, seed: int, workers: int) -> Batches:
        """Return the batches of one process.

        Args:
            share: The rows of this process.
            seed: Determines the order, the crops and the flips.
            workers: The number of loading processes; with 0, this process loads.
        """

    @abstractmethod
    def once(self) -> Iterator[Sample | ImageError]:
        """Yield each picture once, always in the same shuffled order, or the error if it cannot be read."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return facts for the run's config as JSON data: path, size and a hash."""


def as_text(name: str) -> str:
    """Return what a file's name, which need not be text, is shown and written as: other bytes as `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def fit_square(image: Tensor, size: int, *, crop: Crop, flip: bool, seed: int) -> Tensor:
    """Return a picture `[1, 3, H, W]` in 0..1 as `[3, size, size]` of uint8.

    Args:
        image: A picture of any size; a smaller one is enlarged.
        size: The side of the result.
        crop: `"centre"` and `"random"` scale the short side to `size` and crop the long side; `"stretch"` scales both
            sides; `"pad"` scales the long side and pads the short side with white.
        flip: Whether to mirror a random half of the pictures from left to right.
        seed: Determines the random crop and the mirroring.
    """
    return cut(scaled(image, size, crop), size, crop=crop, flip=flip, seed=seed)


def scaled(image: Tensor, size: int, crop: Crop) -> Tensor:
    """Return a picture `[1, 3, H, W]` in 0..1 as uint8 `[3, h, w]` before it is cropped; see `fit_square`."""
    height, width = image.shape[-2:]
    if crop == "stretch":
        image = resize(image, (size, size))
    else:
        if crop != "pad":
            image = _trimmed(image, size)
            height, width = image.shape[-2:]
        scale = size / (max(height, width) if crop == "pad" else min(height, width))
        image = resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))
    if crop == "pad":
        height, width = image.shape[-2:]
        top, left = (size - height) // 2, (size - width) // 2
        image = functional.pad(image, (left, size - width - left, top, size - height - top), value=1.0)
    return image[0].clamp(0, 1).mul(255).round().to(torch.uint8)


def _trimmed(image: Tensor, size: int) -> Tensor:
    """Return the middle of a long strip that will be enlarged. All but a square of the rest would be cut off anyway."""
    height, width = image.shape[-2:]
    longest = MOST_ASPECT * min(height, width)
    if min(height, width) >= size or max(height, width) <= longest:
        return image
    top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
    return image[..., top : top + longest, left : left + longest]


def cut(image: Tensor, size: int, *, crop: Crop, flip: bool, seed: int) -> Tensor:
    """Crop the result of `scaled` to `[3, size, size]`; see `fit_square`."""
    where, mirror = torch.rand(2, generator=key_generator("fit", seed), dtype=torch.float32, device="cpu").tolist()
    share = where if crop == "random" else 0.5
    height, width = image.shape[-2:]
    top, left = int((height - size + 1) * share), int((width - size + 1) * share)
    image = image[..., top : top + size, left : left + size]
    return image.flip(2) if flip and mirror < 0.5 else image.contiguous()
