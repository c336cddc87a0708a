"""Paints a picture of brush strokes along a swirling flow, so that the demonstration needs no other style picture.

Short strokes follow the curl of a smooth random field with a few vortices, coloured by the field's height: night blues,
then green, then yellow light in the vortices. The same seed gives the same painting.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["paint_swirls"]

PALETTE = np.array(
    [
        (13, 24, 66),
        (24, 52, 122),
        (42, 96, 168),
        (98, 152, 196),
        (70, 118, 96),
        (206, 186, 92),
        (246, 220, 120),
        (252, 244, 214),
    ],
    dtype=np.float64,
)
VORTICES = 9
STROKES = 26_000


def paint_swirls(size: int = 640, seed: int = 0) -> Image.Image:
    """Return a square painting.

    Args:
        size: Side in pixels.
        seed: Seed of the field and the strokes.
    """
    rng = np.random.default_rng(seed)
    height, light = _height_and_light(size, rng)
    slope_y, slope_x = np.gradient(height)
    angle = np.arctan2(-slope_x, slope_y)  # along the contour lines: the field's curl
    tone = (height - height.min()) / np.ptp(height)
    tone = np.clip(0.62 * tone + 0.75 * light, 0.0, 1.0)

    picture = Image.new("RGB", (size, size), tuple(PALETTE[1].astype(int)))
    draw = ImageDraw.Draw(picture)
    for _ in range(STROKES):
        x, y = rng.uniform(0, size, 2)
        row, column = int(y), int(x)
        shade = tone[row, column] * (len(PALETTE) - 1) + rng.normal(0, 0.55)
        shade = float(np.clip(shade, 0, len(PALETTE) - 1))
        low = min(int(shade), len(PALETTE) - 2)
        colour = PALETTE[low] + (shade - low) * (PALETTE[low + 1] - PALETTE[low]) + rng.normal(0, 7, 3)
        _stroke(draw, angle, x, y, tuple(np.clip(colour, 0, 255).astype(int)), rng)
    return picture


def _height_and_light(size: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a smooth field whose contours swirl, and the amount of light; both are `[size, size]`."""
    y, x = np.mgrid[0:size, 0:size] / size
    height = np.zeros((size, size))
    for octave in range(1, 5):
        for _ in range(4):
            fx, fy = rng.normal(0, 1.3 * octave, 2)
            height += np.cos(2 * math.pi * (fx * x + fy * y) + rng.uniform(0, 2 * math.pi)) / octave**2.2
    light = np.zeros_like(height)
    for _ in range(VORTICES):
        cx, cy, radius = rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.13)
        distance = np.hypot(x - cx, y - cy) / radius
        height += 3.2 * np.exp(-(distance**2) / 2.6)
        rings = 0.62 + 0.38 * np.cos(distance * 5.2)
        light += np.exp(-(distance**2) / 1.7) * rings
    return height, np.clip(light, 0, 1)


def _stroke(
    draw: ImageDraw.ImageDraw,
    angle: NDArray[np.float64],
    x: float,
    y: float,
    colour: tuple[int, ...],
    rng: np.random.Generator,
) -> None:
    size = angle.shape[0]
    points = [(x, y)]
    for _ in range(int(rng.integers(4, 9))):
        row, column = min(max(int(y), 0), size - 1), min(max(int(x), 0), size - 1)
        turn = angle[row, column]
        x, y = x + 3.0 * math.cos(turn), y + 3.0 * math.sin(turn)
        points.append((x, y))
    draw.line(points, fill=colour, width=int(rng.integers(2, 6)), joint="curve")
