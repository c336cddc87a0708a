"""Selects the emoji for training generators, and compares samples of trained generators with the real emoji.

    python tools/judge_emoji.py select --emoji FOLDER --size 32 -o emoji_32.npz
    python tools/judge_emoji.py measure --data emoji_32.npz RUN [RUN ...]

The features are those of the deepest layer of efficientnet_lite0, averaged over the picture. They have more dimensions
than there are pictures, so a Fréchet distance is mostly bias. All Fréchet distances are therefore computed from half as
many pictures as there are, and are to be compared with the distance between two halves of the real pictures. The kernel
distance has no such bias. Copies are detected with the same features, by comparing the distance from a sample to the
nearest real picture with that from a real picture to the nearest other real picture.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganart_zoo import Zoo
from ganart_zoo.contract import Backbone, Generator, generator
from ganart_zoo.metrics import PooledFeatures, as_saved, frechet_distance, kernel_distance, moments

CATEGORIES = ("Animals & Nature", "Food & Drink", "Smileys & Emotion")
SPLITS = 4
"""The number of random halvings of the real pictures, each with other samples, over which distances are averaged."""
_BATCH = 50


def select(folder: Path, size: int, out: Path) -> int:
    """Write the emoji of `CATEGORIES` at `size` pixels, as `ganart train` reads them; return how many."""
    captions = json.loads((folder / "noto_emoji_captions.json").read_text(encoding="utf-8"))
    chosen = [row for row, caption in enumerate(captions) if caption["category"] in CATEGORIES]
    with np.load(folder / f"noto_emoji_{size}.npz") as file:
        np.savez_compressed(out, images=file["images"][chosen])
    return len(chosen)


@torch.no_grad()
def sample(model: Generator, seeds: range) -> Tensor:
    """Return the pictures of a range of seeds, rounded to 8 bits as in a file."""
    parts = []
    for first in range(seeds.start, seeds.stop, _BATCH):
        rng = [generator(seed=seed) for seed in range(first, min(first + _BATCH, seeds.stop))]
        parts.append(model(model.sample_latents(len(rng), rng=rng), rng=rng))
    return as_saved(torch.cat(parts))


def halves(count: int, split: int) -> tuple[Tensor, Tensor]:
    """Return the rows of two disjoint random halves, which differ for each split."""
    order = torch.randperm(count, generator=generator(seed=split))
    return order[: count // 2], order[count // 2 : count // 2 * 2]


def nearest(features: Tensor, others: Tensor, *, itself: bool = False) -> float:
    """Return the median distance to the nearest of `others`; with `itself`, the same row is excluded."""
    distances = torch.cdist(features, others)
    if itself:
        distances.fill_diagonal_(torch.inf)
    return float(distances.amin(dim=1).median())


def real_figures(real: Tensor) -> dict[str, float]:
    """Return the distances between halves of the real pictures."""
    pairs = [halves(len(real), split) for split in range(SPLITS)]
    return {
        "frechet": sum(frechet_distance(moments(real[a]), moments(real[b])) for a, b in pairs) / SPLITS,
        "kernel": sum(kernel_distance(real[a], real[b]) for a, b in pairs) / SPLITS,
        "nearest_other": nearest(real, real, itself=True),
    }


def figures(made: Tensor, real: Tensor) -> dict[str, float]:
    """Return the same distances for features of samples, with as many samples as a half for each split."""
    size = len(real) // 2
    pairs = [(made[split * size : (split + 1) * size], halves(len(real), split)[0]) for split in range(SPLITS)]
    return {
        "frechet": sum(frechet_distance(moments(a), moments(real[b])) for a, b in pairs) / SPLITS,
        "kernel": kernel_distance(made, real),
        "nearest_real": nearest(made, real),
    }


def measure(data: Path, runs: Sequence[str]) -> None:
    """Print a line of JSON for the real pictures, and one for each run or variant of weights (`model:variant`)."""
    zoo = Zoo()
    backbone = zoo.create("ganart-backbones/efficientnet_lite0")
    assert isinstance(backbone, Backbone)
    features = PooledFeatures(backbone)

    def of(images: Tensor) -> Tensor:
        return torch.cat([features(part) for part in images.split(_BATCH)])

    with np.load(data) as file:
        real = of(torch.from_numpy(file["images"]).permute(0, 3, 1, 2).float().div(255))
    print(json.dumps({"real halves": len(real) // 2, **real_figures(real)}), flush=True)
    for run in runs:
        name, _, variant = run.partition(":")
        model = zoo.create(name, weights=variant) if variant else zoo.create(Path(run))
        assert isinstance(model, Generator)
        made = of(sample(model, range(SPLITS * (len(real) // 2))))
        print(json.dumps({"run": run, **figures(made, real)}), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Select or measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    selecting = verbs.add_parser("select", help="Write the .npz to train on.")
    selecting.add_argument("--emoji", type=Path, required=True, help="Folder of noto_emoji_SIZE.npz and the captions.")
    selecting.add_argument("--size", type=int, required=True, help="32 or 64.")
    selecting.add_argument("-o", "--out", type=Path, required=True)
    measuring = verbs.add_parser("measure", help="Print figures.")
    measuring.add_argument("--data", type=Path, required=True, help="What `select` wrote.")
    measuring.add_argument("runs", nargs="*", help="Run folders, or model:variant for shipped weights.")
    asked = parser.parse_args(arguments)
    if asked.verb == "select":
        print(f"{select(asked.emoji, asked.size, asked.out)} pictures")
    else:
        measure(asked.data, asked.runs)


if __name__ == "__main__":
    main()
