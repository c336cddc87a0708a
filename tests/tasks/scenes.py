"""Clips whose motion is known exactly: layers of texture that move and turn, and cover each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract.rng import generator


class Shot(NamedTuple):
    """One frame."""

    image: Tensor
    """`[1, 3, H, W]`."""
    flow: Tensor
    """`[1, 2, H, W]`, pixels: what is at (x, y) was at (x + flow[0], y + flow[1]) in the frame before."""
    seen: Tensor
    """`[1, 1, H, W]`: 1 where that was visible then."""
    still: Tensor
    """`[1, 1, H, W]`: 1 where the same was at the same place."""


@dataclass(frozen=True)
class Layer:
    """A disc of texture, or without a radius all of the plane; where it is at a time is exact."""

    seed: int
    start: tuple[float, float] = (0.0, 0.0)
    """x and y of its centre."""
    speed: tuple[float, float] = (0.0, 0.0)
    """Pixels a frame."""
    turn: float = 0.0
    """Radians a frame."""
    radius: float | None = None

    def own(self, place: Tensor, time: int) -> Tensor:
        """Return where points `[..., 2]` of a frame are on the layer."""
        back = place - self._centre(time)
        return back @ _turned(self.turn * time)

    def place(self, own: Tensor, time: int) -> Tensor:
        """Return where points of the layer are in a frame."""
        return own @ _turned(-self.turn * time) + self._centre(time)

    def covers(self, place: Tensor, time: int) -> Tensor:
        """Return which points of a frame it covers."""
        own = self.own(place, time)
        return torch.ones(own.shape[:-1], dtype=torch.bool) if self.radius is None else own.norm(dim=-1) <= self.radius

    def colours(self, own: Tensor) -> Tensor:
        """Return `[3, ...]` at points of the layer: smooth, with detail everywhere."""
        texture = torch.rand(1, 3, 96, 96, generator=generator(self.seed))
        texture = functional.interpolate(texture, (384, 384), mode="bicubic").clamp(0, 1)
        at = (own / 192).float()[None]
        return functional.grid_sample(texture, at, mode="bicubic", padding_mode="reflection", align_corners=False)[0]

    def _centre(self, time: int) -> Tensor:
        return torch.tensor([at + time * by for at, by in zip(self.start, self.speed, strict=True)], dtype=torch.double)


def scene(layers: list[Layer], count: int, height: int = 96, width: int = 128) -> list[Shot]:
    """Return the frames; a later layer covers those before it."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([columns, rows], -1).double()
    shots = []
    for time in range(count):
        image, was = torch.zeros(3, height, width), place.clone()
        top = _top(layers, place, time)
        for number, layer in enumerate(layers):
            own = layer.own(place, time)
            image = torch.where(top == number, layer.colours(own), image)
            was = torch.where((top == number)[..., None], layer.place(own, time - 1), was)
        inside = (was >= 0).all(-1) & (was[..., 0] <= width - 1) & (was[..., 1] <= height - 1)
        # all four pixels that a sample lies between must have belonged to the same layer
        corners = [was.floor() + torch.tensor([x, y], dtype=torch.double) for x in (0, 1) for y in (0, 1)]
        same = torch.stack([_top(layers, corner, time - 1) == top for corner in corners]).all(0)
        seen = inside & same & (time > 0)
        flow = was - place
        still = seen & (flow.abs().amax(-1) < 1e-9)
        shots.append(Shot(image[None], flow.permute(2, 0, 1)[None].float(), seen[None, None], still[None, None]))
    return shots


def moved(picture: Tensor, flow: Tensor) -> Tensor:
    """Return a picture of the frame before where its parts are now, by the known motion (bilinear)."""
    height, width = flow.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = columns + flow[:, 0], rows + flow[:, 1]
    at = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return functional.grid_sample(picture, at, mode="bilinear", padding_mode="border", align_corners=False)


def warp_error(shots: list[Shot], pictures: list[Tensor]) -> float:
    """Return the mean change of what is seen in two frames, apart from its motion."""
    errors = []
    for shot, before, now in zip(shots[1:], pictures, pictures[1:], strict=False):
        change = (now - moved(before, shot.flow)).abs().mean(1, keepdim=True)
        errors.append(change[shot.seen].mean())
    return float(torch.stack(errors).mean())


def still_change(shots: list[Shot], pictures: list[Tensor]) -> float:
    """Return the mean change of what stands still."""
    pairs = zip(shots[1:], pictures, pictures[1:], strict=False)
    return float(
        torch.stack([(now - before).abs().mean(1, keepdim=True)[s.still].mean() for s, before, now in pairs]).mean()
    )


ROOM = [
    Layer(1),
    Layer(2, start=(24, 40), speed=(3.0, 0.5), radius=18),
    Layer(3, start=(96, 56), speed=(-2.5, -0.5), turn=0.06, radius=20),
]
"""Two discs before a wall: one moves, one moves and turns and covers it."""
PAN = [
    Layer(4, speed=(-2.0, -0.75)),
    Layer(5, start=(50, 48), speed=(-0.5, 1.0), turn=-0.04, radius=18),
]
"""A camera that moves over a scene with a turning disc."""


def _turned(angle: float) -> Tensor:
    return torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.double)


def _top(layers: list[Layer], place: Tensor, time: int) -> Tensor:
    top = torch.zeros(place.shape[:-1], dtype=torch.long)
    for number, layer in enumerate(layers):
        top = torch.where(layer.covers(place, time), number, top)
    return top
