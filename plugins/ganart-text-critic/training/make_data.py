"""Makes the data that the critics are trained and measured on: captioned emoji in four styles, and drawn scenes.

    python make_data.py EMOJI_STYLES.npz CAPTIONS.json OUT --seed 1

writes `train.npz` (names that `held_out` keeps for training, each picture with its name and with two of its tags, and
scenes of the grammar of ganart-latent-flow), `known.npz` (the same emoji with their names alone), `unknown.npz` (the
emoji whose names were left out) and `scenes.npz` (new scenes, with groups that training never shows).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random

import numpy as np
from ganart_latent_flow import scenes

from ganart_zoo.data.captions import held_out

STYLES = {"noto": "noto", "fluent-emoji-flat": "flat", "twemoji": "twemoji", "fluent-emoji-3d": "3d"}


def emoji(pictures: Path, texts: Path, seed: int) -> dict[str, list[tuple[np.ndarray, str]]]:
    """Return pictures and captions by set."""
    rng = Random(seed)
    described = json.loads(texts.read_text(encoding="utf-8"))
    sets: dict[str, list[tuple[np.ndarray, str]]] = {"train": [], "known": [], "unknown": []}
    with np.load(pictures) as file:
        styles = [STYLES[str(name)] for name in file["style_names"]]
        rows = list(zip(file["images"], file["caption"].tolist(), file["style"].tolist(), strict=True))
    for image, caption, style in rows:
        name, tags = described[caption]["name"], described[caption].get("tags") or []
        if held_out(name):
            sets["unknown"].append((image, f"{name}, {styles[style]}"))
            continue
        sets["known"].append((image, f"{name}, {styles[style]}"))
        sets["train"].append((image, f"{name}, {styles[style]}"))
        if len(tags) > 1:
            sets["train"].append((image, f"{' '.join(rng.sample(tags, 2))}, {styles[style]}"))
    return sets


def drawn(count: int, seed: int, *, unseen: bool) -> list[tuple[np.ndarray, str]]:
    """Return scenes at 64 pixels and their captions."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        scene = scenes.random_scene(rng, unseen=unseen)
        found.append((scenes.draw(scene, 64, rng), scene.caption()))
    return found


def main() -> None:
    """Write the four files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("emoji", type=Path)
    parser.add_argument("captions", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    sets = emoji(asked.emoji, asked.captions, asked.seed)
    sets["train"] += drawn(asked.scenes, asked.seed, unseen=False)
    sets["scenes"] = drawn(1000, asked.seed + 1, unseen=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, rows in sets.items():
        images = np.stack([image for image, _ in rows])
        np.savez_compressed(asked.out / f"{name}.npz", images=images, captions=np.array([text for _, text in rows]))


if __name__ == "__main__":
    main()
