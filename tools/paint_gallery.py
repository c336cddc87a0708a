"""Paints the sheets of docs/gallery by the shipped weights of latent_flow.

    python tools/paint_gallery.py FOLDER --captions captions.json [imagine] [compositions] [emoji_sheet] [scenes_sheet]

`imagine` and `compositions` show fixed prompts with their captions. `emoji_sheet` shows 64 trained names drawn at
random, without captions, so that someone can name them by eye; the key goes into `emoji_sheet.txt`, row by row.
`scenes_sheet` shows 24 scenes with groups of shapes that training never showed. Nothing is picked: picture k has seed
k. `captions.json` comes from `tools/make_training_pictures.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ganart_latent_flow import scenes
from judge_prompts import CATEGORIES, painter
from PIL import Image, ImageDraw, ImageFont

from ganart_zoo import Zoo
from ganart_zoo.data.captions import held_out

STYLES = ("noto", "twemoji", "flat", "3d")
IMAGINE = (
    "red apple",
    "lion, 3d",
    "rocket, flat",
    "frog, twemoji",
    "octopus, 3d",
    "cactus",
    "tomato, flat",
    "unicorn, 3d",
    "ghost, 3d",
    "penguin, twemoji",
    "sunflower",
    "crab, 3d",
    "blue apple",
    "purple cat, flat",
    "green dog, 3d",
    "pear, noto",
    "basketball",
    "yellow heart",
)
COMPOSITIONS = (
    "blue apple",
    "green dog, 3d",
    "purple cat, flat",
    "pink rocket",
    "red car on the left",
    "lion on the right, 3d",
    "orange fish",
    "blue tree",
    "yellow house",
    "purple frog",
    "green heart at the top",
    "pink octopus, flat",
    "blue bell",
    "red pear",
    "green hat, 3d",
    "apple on the left",
)
_SHEET = 64


def sheet(pictures: torch.Tensor, columns: int, cell: int, captions: Sequence[str] | None = None) -> Image.Image:
    """Return pictures in rows, with captions below them if they are given; long ones take two lines."""
    font = ImageFont.load_default(size=12)
    lines = [_lines(text, font, cell) for text in captions or ()]
    below = 15 * max(map(len, lines), default=0) + 4
    rows = -(-len(pictures) // columns)
    made = Image.new("RGB", (columns * (cell + 8), rows * (cell + below)), "white")
    draw = ImageDraw.Draw(made)
    values = (pictures.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    for number, value in enumerate(values):
        left, top = number % columns * (cell + 8) + 4, number // columns * (cell + below) + 2
        made.paste(Image.fromarray(value).resize((cell, cell), Image.Resampling.LANCZOS), (left, top))
        for row, line in enumerate(lines[number] if lines else ()):
            middle = left + (cell - draw.textlength(line, font=font)) / 2
            draw.text((middle, top + cell + 1 + 15 * row), line, fill=(40, 40, 40), font=font)
    return made.quantize(200)


def _lines(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width + 6:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def random_names(captions: Path) -> list[str]:
    """Return 64 trained names with styles in turn."""
    known = json.loads(captions.read_text(encoding="utf-8"))
    names = [one["name"] for one in known if one["category"] in CATEGORIES and not held_out(one["name"])]
    chosen = np.random.default_rng(_SHEET).choice(len(names), _SHEET, replace=False)
    return [f"{names[index]}, {STYLES[number % 4]}" for number, index in enumerate(chosen)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Paint the sheets named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sheets", nargs="*", default=["imagine", "compositions", "emoji_sheet", "scenes_sheet"])
    parser.add_argument("--captions", type=Path, help="For emoji_sheet.")
    asked = parser.parse_args(arguments)
    zoo = Zoo()
    for name in asked.sheets:
        if name == "emoji_sheet":
            prompts: Sequence[str] = random_names(asked.captions)
            key = "\n".join(f"{n // 8 + 1}.{n % 8 + 1} {prompt}" for n, prompt in enumerate(prompts))
            (asked.folder / f"{name}.txt").write_text(f"Row and column of emoji_sheet.png, and the prompt.\n\n{key}\n")
            made = sheet(painter(zoo, "emoji", {})(prompts), 8, 70)
        elif name == "scenes_sheet":
            rng = np.random.default_rng(8)
            prompts = [scenes.random_scene(rng, unseen=True).caption() for _ in range(24)]
            made = sheet(painter(zoo, "scenes", {}, size=256)(prompts), 8, 110, prompts)
        else:
            prompts, columns = (list(IMAGINE), 6) if name == "imagine" else (list(COMPOSITIONS), 8)
            made = sheet(painter(zoo, "emoji", {}, size=256)(prompts), columns, 116, prompts)
        made.save(asked.folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
