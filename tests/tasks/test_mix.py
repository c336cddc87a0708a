"""The verb `mix`: only the layers asked change, and the grid shows whose they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ganart_shapes.runs import save_run
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.contract import SettingsError
from ganart_zoo.tasks.generating import load_generator
from ganart_zoo.tasks.mix import mix
from ganart_zoo.tasks.reproduce import reproduce
from ganart_zoo.tasks.sample import sample

ROWS, COLUMNS = [1, 2], [7, 8, 9]


@pytest.mark.parametrize("layers", [(0, 0), (1, 2), (3, 3), (0, 3)])
def test_only_the_layers_asked_change(shapes: Zoo, layers: tuple[int, int]) -> None:
    """Each layer paints a band of its own, so the pictures show whose style it has."""
    bands = load_generator(shapes, "bands", weights=None, settings={"truncation": 0.7})
    images = mix(bands, ROWS, COLUMNS, layers).images
    of_rows, of_columns = (torch.cat([sample(bands, 1, seed=seed).images for seed in each]) for each in (ROWS, COLUMNS))
    for layer in range(4):
        band = slice(2 * layer, 2 * layer + 2)
        changed = layers[0] <= layer <= layers[1]
        for row in range(2):
            for column in range(3):
                source = of_columns[column] if changed else of_rows[row]
                assert torch.equal(images[row, column, :, band], source[:, band])


def test_the_grid_has_the_sources_at_its_edges_and_can_be_made_again(shapes: Zoo, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", generator=shapes.create("bands", weights=None))
    bands = load_generator(shapes, run)
    mix(bands, ROWS, COLUMNS, (0, 1), tmp_path / "mixed.png")
    with Image.open(tmp_path / "mixed.png") as image:
        pixels = np.asarray(image)
    assert pixels.shape == (2 + 3 * 10, 2 + 4 * 10, 3)
    assert (pixels[:11, :11] == 255).all()
    for index, seed in enumerate(ROWS, start=1):
        colour = sample(bands, 1, seed=seed).images[0, :, 0, 0].clamp(0, 1).mul(255).numpy()
        assert np.abs(pixels[5 + 10 * index, 5] - colour).max() <= 0.51
    assert reproduce(shapes, tmp_path / "mixed.png").pixels.agree


@pytest.mark.parametrize(
    ("model", "rows", "layers", "message"),
    [
        ("flat", ROWS, (0, 0), "flat has no styles, and mixing needs a style generator"),
        ("bands", ROWS, (2, 4), "layers are 2-4, expected first-last within 0-3"),
        ("bands", ROWS, (2, 1), "layers are 2-1"),
        ("bands", [], (0, 0), "0 row and 3 column seeds"),
        ("bands", [-1], (0, 0), "seed is -1"),
    ],
)
def test_what_is_not_fit_is_said(shapes: Zoo, model: str, rows: list, layers: tuple, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        mix(load_generator(shapes, model, weights=None), rows, COLUMNS, layers)


def test_all_pictures_show_what_the_text_says(shapes: Zoo, tmp_path: Path) -> None:
    lettered = load_generator(shapes, save_run(tmp_path / "told", generator=shapes.create("lettered", weights=None)))
    with pytest.raises(SettingsError, match="give a prompt"):
        mix(lettered, ROWS, COLUMNS, (0, 1))
    one = mix(lettered, ROWS, COLUMNS, (0, 1), prompt="a").images
    nine = mix(lettered, ROWS, COLUMNS, (0, 1), tmp_path / "mixed.png", prompt="green hat").images
    torch.testing.assert_close(nine - one, torch.full_like(one, 0.08))
    assert reproduce(shapes, tmp_path / "mixed.png").pixels.agree
