"""Changes of pictures that captions mention: colours, places, and what is left out of training."""

from __future__ import annotations

import colorsys

import pytest
import torch

from ganart_zoo.contract import SettingsError
from ganart_zoo.data.variations import (
    HUES,
    PLACES,
    chroma,
    held_out_colour,
    place,
    placed_caption,
    recolour,
    recoloured_caption,
)


@pytest.mark.parametrize("colour", sorted(set(HUES) - {"grey"}))
def test_recolouring_keeps_lightness_and_saturation_of_hsl(colour: str) -> None:
    pictures = torch.rand(2, 3, 5, 6, dtype=torch.float64)
    wanted = colorsys.rgb_to_hls(*HUES[colour])[0]
    for before, after in zip(
        pictures.permute(0, 2, 3, 1).reshape(-1, 3).tolist(),
        recolour(pictures, colour).permute(0, 2, 3, 1).reshape(-1, 3).tolist(),
        strict=True,
    ):
        _, lightness, saturation = colorsys.rgb_to_hls(*before)
        assert colorsys.rgb_to_hls(*after) == pytest.approx((wanted, lightness, saturation), abs=1e-9)


def test_white_grey_and_black_keep_their_colour() -> None:
    greys = torch.linspace(0, 1, 16, dtype=torch.float64).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    for colour in HUES:
        torch.testing.assert_close(recolour(greys, colour), greys)


def test_chroma_ignores_the_white_ground() -> None:
    pictures = torch.ones(3, 3, 8, 8)
    pictures[1, 1:, 2:4, 2:4] = 0
    pictures[2, :, 2:4, 2:4] = 0.3
    assert chroma(pictures).tolist() == [0, 1, 0]


@pytest.mark.parametrize("where", sorted(PLACES))
def test_a_placed_picture_lies_on_its_side_of_white(where: str) -> None:
    placed = place(torch.zeros(1, 3, 64, 64), where)
    ink = placed[0].amin(dim=0) < 1
    ys, xs = ink.nonzero().double().mean(dim=0).tolist()
    across, down = PLACES[where]
    assert (xs - 31.5) * across >= 0
    assert (ys - 31.5) * down >= 0
    assert max(abs(xs - 31.5), abs(ys - 31.5)) > 8
    assert int(ink.sum()) == int(64 * 0.55) ** 2


def test_captions_say_what_was_changed() -> None:
    assert recoloured_caption("Red apple, 3d", "blue") == "blue apple, 3d"
    assert recoloured_caption("lion", "pink") == "pink lion"
    assert recoloured_caption("colored pencil", "red") == "red colored pencil"
    assert placed_caption("lion, 3d", "at the top") == "lion at the top, 3d"
    assert placed_caption("lion", "on the left") == "lion on the left"


def test_a_tenth_of_the_colours_of_objects_is_left_out() -> None:
    pairs = [(f"thing {number}", colour) for number in range(500) for colour in HUES]
    share = sum(held_out_colour(name, colour) for name, colour in pairs) / len(pairs)
    assert 0.08 < share < 0.12
    assert held_out_colour("green apple", "blue") == held_out_colour("apple", "blue")


def test_unknown_words_are_refused() -> None:
    with pytest.raises(SettingsError, match="colour is 'mauve', expected one of red"):
        recolour(torch.zeros(1, 3, 2, 2), "mauve")
    with pytest.raises(SettingsError, match="place is 'left', expected one of on the left"):
        place(torch.zeros(1, 3, 2, 2), "left")
