"""Captions with a relation: which words are joined with which side."""

from __future__ import annotations

import pytest
from ganart_text_critic.relations import sided


@pytest.mark.parametrize(
    ("caption", "added"),
    [
        ("a red circle left of a blue square", "redatleft circleatleft blueatright squareatright"),
        ("a red circle to the right of the sun", "redatright circleatright sunatleft"),
        ("Two stars ABOVE a cross", "twoattop starsattop crossatbottom"),
        ("a cross under two stars", "crossatbottom twoattop starsattop"),
        ("a cat left of a dog above a bird", "catatleft dogatright aboveatright birdatright"),
        ("the left hand", ""),
        ("a lion on the left", ""),
        ("lion, 3d", ""),
        ("left of", ""),
        ("", ""),
        ("\x00", ""),
    ],
)
def test_words_beside_a_relation_are_joined_with_their_sides(caption: str, added: str) -> None:
    assert sided(caption) == (f"{caption} {added}" if added else caption)


def test_exchanged_groups_and_relations_mean_the_same() -> None:
    one, other = sided("a red circle left of a blue square"), sided("a blue square right of a red circle")
    assert set(one.split()[8:]) == set(other.split()[8:])


def test_long_texts_stay_as_they_are() -> None:
    text = "word " * 400 + "left of a star"
    assert sided(text) == text
