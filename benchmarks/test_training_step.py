"""One whole step of a training, critic and generator: native ops against the same networks in reference ops.

Networks are narrower than as published, so that a step takes seconds on one core. The penalised step takes R1 and R2
too, which a training does once in several steps: they differentiate a gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("accelerate", reason="training needs the extra ganart-zoo[train]")

from .games import GAMES, Direction, players

if TYPE_CHECKING:
    from .conftest import Race


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("direction", ["step", "penalised step"])
def test_training_step(race: Race, name: str, direction: Direction, device: str) -> None:
    game = GAMES[name]
    step = players(game, direction, device)
    race(
        {"ganart": step("native"), "eager": step("reference")},
        device=device,
        dtype="float32",
        images=game.batch,
        op="training_step",
        group=name,
        shape=f"{game.batch}x3x{game.side}x{game.side}",
        direction=direction,
    )
