"""Drawn scenes: the grammar reads itself, the checker reads drawings, and a fixed fifth is held out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from ganart_latent_flow.scenes import (
    COLOURS,
    RELATIONS,
    SHAPES,
    Group,
    Scene,
    check,
    draw,
    held_out,
    parse,
    random_scene,
    read,
)


@pytest.mark.parametrize("size", [64, 200])
def test_the_checker_reads_what_is_drawn(size: int) -> None:
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng, unseen=bool(number % 2)) for number in range(60)]
    assert all(check(draw(scene, size, rng), scene).right() for scene in scenes)


def test_captions_are_read_back() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        scene = random_scene(rng)
        assert parse(scene.caption()) == scene
    assert parse("Two red circles left of a blue square") == Scene(
        Group(2, "red", "circle"), "left of", Group(1, "blue", "square")
    )
    for other in ("", "lion", "two red", "five red circles", "a red circle left of", "left of a red circle"):
        assert parse(other) is None


def test_each_error_is_seen() -> None:
    rng = np.random.default_rng(0)
    asked = Scene(Group(2, "red", "circle", "small"), "left of", Group(1, "blue", "square"))
    wrong = {
        "colour": Scene(Group(2, "red", "circle", "small"), "left of", Group(1, "green", "square")),
        "shape": Scene(Group(2, "red", "circle", "small"), "left of", Group(1, "blue", "star")),
        "number": Scene(Group(3, "red", "circle", "small"), "left of", Group(1, "blue", "square")),
        "relation": Scene(Group(2, "red", "circle", "small"), "right of", Group(1, "blue", "square")),
        "size": Scene(Group(2, "red", "circle", "large"), "left of", Group(1, "blue", "square")),
    }
    for part, scene in wrong.items():
        reading = check(draw(scene, 64, rng), asked)
        assert getattr(reading, part) is False
        assert not reading.right()
    assert not check(np.full((64, 64, 3), 255, dtype=np.uint8), asked).right()


def test_a_scene_is_the_same_at_every_size() -> None:
    scene = Scene(Group(3, "purple", "star"), "above", Group(2, "yellow", "cross"))
    small, large = (read(draw(scene, size, np.random.default_rng(1))) for size in (64, 256))
    key = lambda shape: (shape.colour, shape.x)  # noqa: E731
    for one, other in zip(sorted(small, key=key), sorted(large, key=key), strict=True):
        assert (one.shape, one.colour) == (other.shape, other.colour)
        assert abs(one.x - other.x) + abs(one.y - other.y) + abs(one.radius - other.radius) < 0.02


def test_a_fifth_of_the_groups_is_held_out_and_never_drawn_for_training() -> None:
    groups = [Group(n, c, s) for n, c, s in product(range(1, 5), COLOURS, SHAPES)]
    assert 0.15 < sum(map(held_out, groups)) / len(groups) < 0.25
    rng = np.random.default_rng(0)
    for _ in range(200):
        assert not any(map(held_out, random_scene(rng).groups()))
        assert any(map(held_out, random_scene(rng, unseen=True).groups()))
    assert {random_scene(rng).relation for _ in range(100)} == {"", *RELATIONS}
