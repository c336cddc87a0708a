"""Draws the style pictures that the shipped network of ganart-faststyle learned beside paintings and textures.

    python tools/draw_styles.py FOLDER [--size 512]

Each picture is a function of its name alone, so anyone can draw the same ones again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

_SCALE = 2
"""Pictures are drawn larger by this factor and scaled down, so that edges are smooth."""


def stained_glass(rng: np.random.Generator, side: int) -> Image.Image:
    """Coloured cells between leads: the nearest of random points decides the colour."""
    points = rng.random((140, 2)) * side
    palette = np.array([[176, 28, 46], [22, 72, 160], [240, 190, 40], [24, 128, 80], [120, 40, 130], [230, 120, 40]])
    colours = palette[rng.integers(len(palette), size=len(points))] * rng.uniform(0.7, 1.15, (len(points), 1))
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    nearest = np.full((side, side), np.inf, np.float32)
    second, owner = nearest.copy(), np.zeros((side, side), int)
    for number, (row, column) in enumerate(points):
        distance = np.hypot(rows - row, columns - column)
        closer = distance < nearest
        second = np.where(closer, nearest, np.minimum(second, distance))
        owner[closer] = number
        nearest = np.minimum(nearest, distance)
    picture = colours[owner]
    picture[second - nearest < side / 130] = (18, 18, 24)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def ink_hatching(rng: np.random.Generator, side: int) -> Image.Image:
    """Crossed pen strokes on cream paper, denser in the dark parts of a smooth random field."""
    darkness = _smooth(rng, side, side / 9)
    picture = Image.new("RGB", (side, side), (244, 236, 216))
    pen = ImageDraw.Draw(picture)
    for _ in range(5200):
        x, y = rng.random(2) * side
        shade = darkness[int(y), int(x)]
        if rng.random() > 0.15 + 0.85 * shade:
            continue
        angle = (0.8 if rng.random() < 0.65 else -0.7) + rng.normal(0, 0.06)
        length = side / 22 * rng.uniform(0.6, 1.4)
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        pen.line([(x, y), end], fill=(38, 34, 52), width=max(1, side // 420))
    return picture


def pointillism(rng: np.random.Generator, side: int) -> Image.Image:
    """Dots of pure colour whose mixture drifts from warm to cool over the picture."""
    warmth = _smooth(rng, side, side / 6)
    warm = np.array([[236, 92, 60], [250, 190, 60], [244, 140, 160], [250, 232, 150]])
    cool = np.array([[40, 90, 180], [70, 170, 190], [90, 70, 150], [120, 190, 110]])
    picture = Image.new("RGB", (side, side), (238, 230, 214))
    brush = ImageDraw.Draw(picture)
    for _ in range(15000):
        x, y = rng.random(2) * side
        palette = warm if rng.random() < warmth[int(y), int(x)] else cool
        radius = side / 150 * rng.uniform(0.7, 1.3)
        colour = tuple(int(value) for value in palette[rng.integers(len(palette))])
        brush.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
    return picture


def paper_cut(rng: np.random.Generator, side: int) -> Image.Image:
    """Layers of coloured paper with wavy edges, each with a soft shadow."""
    picture = Image.new("RGB", (side, side), (250, 214, 165))
    colours = [(240, 160, 110), (214, 98, 88), (158, 60, 94), (98, 46, 98), (54, 40, 88), (28, 30, 66)]
    positions = np.arange(side + 1)
    for number, colour in enumerate(colours):
        height = np.full(side + 1, side * (0.2 + 0.13 * number))
        for _ in range(4):
            size, pace, start = side * rng.uniform(0.01, 0.04), rng.uniform(4, 26), rng.random() * 7
            height += size * np.sin(positions / side * pace + start)
        outline = [*zip(positions.tolist(), height.tolist(), strict=True), (side, side), (0, side)]
        shadow = Image.new("L", (side, side), 0)
        ImageDraw.Draw(shadow).polygon([(x, y - side / 90) for x, y in outline], fill=120)
        picture.paste((20, 10, 30), mask=shadow.filter(ImageFilter.GaussianBlur(side / 70)))
        ImageDraw.Draw(picture).polygon(outline, fill=colour)
    return picture


def mosaic(rng: np.random.Generator, side: int) -> Image.Image:
    """Small square stones in mortar, their colours drifting between a few."""
    first, second = _smooth(rng, side, side / 7), _smooth(rng, side, side / 5)
    picture = Image.new("RGB", (side, side), (206, 198, 184))
    hand = ImageDraw.Draw(picture)
    step = side / 46
    corners = np.array([[0.08, 0.08], [0.92, 0.08], [0.92, 0.92], [0.08, 0.92]])
    for row in range(46):
        for column in range(46):
            at = int((row + 0.5) * step), int((column + 0.5) * step)
            colour = np.array([200, 150, 70]) * first[at] + np.array([30, 96, 130]) * (1 - first[at])
            colour = colour * (0.55 + 0.75 * second[at]) * rng.uniform(0.85, 1.15)
            stone = (corners + rng.normal(0, 0.04, (4, 2)) + (column, row)) * step
            hand.polygon([tuple(corner) for corner in stone], fill=tuple(colour.clip(0, 255).astype(int).tolist()))
    return picture


def _smooth(rng: np.random.Generator, side: int, radius: float) -> npt.NDArray[np.float64]:
    """Return a smooth random field `[side, side]` in 0..1."""
    noise = Image.fromarray((rng.random((side // 8, side // 8)) * 255).astype(np.uint8))
    field = np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(radius)))
    low, high = np.percentile(field, [2, 98])
    smooth: npt.NDArray[np.float64] = ((field - low) / max(1.0, high - low)).clip(0, 1)
    return smooth


STYLES = {style.__name__: style for style in (stained_glass, ink_hatching, pointillism, paper_cut, mosaic)}


def draw(name: str, size: int) -> Image.Image:
    """Return one of the pictures, `size` pixels a side."""
    rng = np.random.default_rng([ord(letter) for letter in name])
    return STYLES[name](rng, size * _SCALE).resize((size, size), Image.Resampling.LANCZOS)


def main() -> None:
    """Draw them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in STYLES:
        draw(name, arguments.size).save(arguments.folder / f"{name}.png")


if __name__ == "__main__":
    main()
