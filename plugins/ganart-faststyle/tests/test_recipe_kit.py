"""The zoo's own checks of recipes, on small untrained networks."""

from __future__ import annotations

import tempfile
from pathlib import Path

import ganart_backbones
import ganart_faststyle
import pytest
import torch
from PIL import Image

from ganart_zoo import Zoo
from ganart_zoo.contract import generator
from ganart_zoo.testing import RecipeSubject, recipe_checks

_ZOO = Zoo(plugins=[ganart_faststyle, ganart_backbones])
_FOLDER = tempfile.TemporaryDirectory()
_SMALL = {
    "faststyle": {"model": "multistyle", "channels": (4, 4, 6), "blocks": 0, "expand": (4, 4)},
    "adain": {"model": "adain", "widths": (4, 4, 4), "blocks": (0, 0, 0), "last": 4, "code": 4},
}


def _pictures() -> Path:
    folder = Path(_FOLDER.name)
    for index in range(6):
        pixels = torch.randint(256, (5, 5, 3), generator=generator(index), dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).resize((36, 34)).save(folder / f"{index}.png")
    return folder


def _subject(recipe: str) -> RecipeSubject:
    folder = _pictures()
    settings = {"style": (str(folder / "0.png"), str(folder / "1.png")), "style_size": 32, "compute": "float32"}
    network = {"stylist": _SMALL[recipe]}
    return RecipeSubject(_ZOO, f"ganart-faststyle/{recipe}", folder, network, size=32, settings=settings)


CHECKS = [
    pytest.param(subject, check, id=f"{recipe}-{check.__name__}")
    for recipe in _SMALL
    for subject in (_subject(recipe),)
    for check in recipe_checks(subject)
]


@pytest.mark.parametrize(("subject", "check"), CHECKS)
def test_recipe(subject, check):
    check(subject)
