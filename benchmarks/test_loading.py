"""Pictures of 64 pixels from one loading process, and how many times as fast they come as each training step eats them.

Folders and shards hold pictures of 256 pixels, as photos are scaled down to by their owners. A folder's first epoch is
decoded, and later ones come from memory; shards are decoded each time. The steps are those of `games`, at 64 pixels on
this device, without penalties; each is timed on its own, for a loading process would go on filling its queue beside it.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from ganart_zoo.bench.timing import best_seconds
from ganart_zoo.data import Data, Share, folder, open_data

pytest.importorskip("accelerate", reason="training needs the extra ganart-zoo[train]")

from .games import GAMES, players

if TYPE_CHECKING:
    from .conftest import Race

SIDE, STORED_SIDE = 64, 256
FILES, DRAWN, BATCH = 512, 1024, 16
SHARDS = 2

KINDS = {  # name: format of the files, None for an array; container; epochs that are kept in memory
    "npz": (None, "npz", True),
    "JPEG folder, first epoch": ("JPEG", "folder", False),
    "JPEG folder, later": ("JPEG", "folder", True),
    "PNG folder, first epoch": ("PNG", "folder", False),
    "PNG folder, later": ("PNG", "folder", True),
    "JPEG shards": ("JPEG", "shards", False),
}


def picture(number: int, side: int) -> Image.Image:
    """Return soft blots with a little grain: it compresses about as photos do."""
    rng = np.random.default_rng(number)
    blots = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    grain = rng.normal(0, 3, (side, side, 3))
    soft = np.asarray(blots.resize((side, side), Image.Resampling.BICUBIC)) + grain
    return Image.fromarray(soft.clip(0, 255).astype(np.uint8))


def write(root: Path, format: str | None, container: str) -> Path:
    """Write the pictures, and return what `open_data` takes."""
    if format is None:
        images = np.stack([np.asarray(picture(number, SIDE)) for number in range(FILES)])
        np.savez(root / "pictures.npz", images=images)
        return root / "pictures.npz"
    files = {}
    for number in range(FILES):
        stream = io.BytesIO()
        picture(number, STORED_SIDE).save(stream, format)
        files[f"{number:05}.{format.lower()}"] = stream.getvalue()
    if container == "folder":
        for name, content in files.items():
            (root / name).write_bytes(content)
        return root
    for shard in range(SHARDS):
        with tarfile.open(root / f"{shard}.tar", "w") as tar:
            for name in list(files)[shard::SHARDS]:
                entry = tarfile.TarInfo(name)
                entry.size = len(files[name])
                tar.addfile(entry, io.BytesIO(files[name]))
    return root


def drawing(data: Data) -> Callable[[], None]:
    """Return what takes `DRAWN` pictures from one worker. It has two batches ready at most: 3 % of them."""
    batches = iter(data.loader(Share(BATCH), 0, workers=1)())

    def draw() -> None:
        for _ in range(DRAWN // BATCH):
            next(batches)

    return draw


@cache
def step_seconds(device: str) -> dict[str, float]:
    """Return the seconds in which each game's step would eat `DRAWN` pictures."""
    found = {}
    synchronize = {"synchronize": torch.cuda.synchronize} if device == "cuda" else {}
    for name, game in GAMES.items():
        if game.side <= SIDE:
            game = game._replace(side=SIDE)
            step = players(game, "step", device)("native")
            found[f"{name} step"] = best_seconds({name: step}, seconds=1, **synchronize)[name] * DRAWN / game.batch
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_loading(race: Race, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, device: str) -> None:
    format, container, kept = KINDS[kind]
    if not kept:
        monkeypatch.setattr(folder, "_MOST_KEPT", 0)
    data = open_data(write(tmp_path, format, container), SIDE)
    race(
        {"ganart": drawing(data)},
        beside=step_seconds(device),
        device=device,
        dtype="uint8",
        images=DRAWN,
        op="loading",
        group="64 pixels, one worker",
        shape=kind,
        direction="alone",
    )
