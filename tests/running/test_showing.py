"""Results show themselves in notebooks."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from ganart_zoo.running.generators import load_generator
from ganart_zoo.tasks.mix import mix
from ganart_zoo.tasks.sample import sample
from ganart_zoo.tasks.stylize import stylize


def shown(result) -> Image.Image:
    return Image.open(io.BytesIO(result._repr_png_()))


def test_a_picture_is_shown_with_its_record(zoo, photo, painting):
    picture = shown(stylize(zoo, photo, [painting], model="blend"))
    assert picture.size == (40, 30)
    assert "ganart" in picture.info


@pytest.mark.parametrize(("n", "size"), [(1, (8, 8)), (4, (28, 28))])
def test_several_are_shown_as_a_sheet(shapes, n, size):
    bands = load_generator(shapes, "bands")
    assert shown(sample(bands, n)).size == size
    assert shown(mix(bands, [1], [2, 3], (0, 1))).size == (28, 16)


def test_nothing_is_shown_where_nothing_was_made(shapes):
    assert sample(load_generator(shapes, "slow"), 2, prompt="a", on_step=lambda event: False)._repr_png_() is None
