"""One whole step of a training, critic and generator: native ops against the same networks in reference ops.

Networks are narrower than as published, so that a step takes seconds on one core. The penalised step takes R1 and R2
too, which a training does once in several steps: they differentiate a gradient. Pictures a second are the batch, which
the shape begins with, over the seconds.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest
import torch

from ganart_zoo import Zoo, ops
from ganart_zoo.contract import Critic, Generator
from ganart_zoo.training import Penalty, TrainConfig
from ganart_zoo.training.data import Batch, Share

if TYPE_CHECKING:
    from .conftest import Race

pytest.importorskip("accelerate", reason="training needs the extra ganart-zoo[train]")

from accelerate import Accelerator

from ganart_zoo.training.adversaries import Adversaries

LAZY = 4


class Game(NamedTuple):
    """Two networks by name, with their settings, and the pictures they meet."""

    generator: str
    critic: str
    side: int
    batch: int
    settings: Mapping[str, Any] = {}
    critic_settings: Mapping[str, Any] = {}


_NARROW = {"channel_base": 4096, "max_channels": 256}
GAMES = {
    "dcgan": Game("ganart-dcgan/dcgan", "ganart-dcgan/dcgan_critic", 32, 64, {"width": 24}, {"width": 24}),
    "stylegan2": Game("ganart-stylegan2/stylegan2", "ganart-stylegan2/stylegan2_critic", 64, 4, _NARROW, _NARROW),
    "stylegan2 256": Game("ganart-stylegan2/stylegan2", "ganart-stylegan2/stylegan2_critic", 256, 2, _NARROW, _NARROW),
    "fastgan, projected": Game("ganart-fastgan/fastgan", "ganart-fastgan/projected_critic", 64, 16, {"width": 16}),
    "fastgan, patchgan": Game("ganart-fastgan/fastgan", "ganart-patchgan/patchgan", 64, 16, {"width": 16}),
}


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("direction", ["step", "penalised step"])
def test_training_step(race: Race, name: str, direction: str, device: str) -> None:
    game = GAMES[name]
    zoo = Zoo()
    torch.manual_seed(0)
    own = {"weights": None, "device": device}
    networks = (
        zoo.create(game.generator, **own, resolution=game.side, **game.settings),
        _critic(zoo, game, own),
    )
    pictures = torch.randint(256, (game.batch, 3, game.side, game.side), dtype=torch.uint8)
    batch = Batch(pictures, None, None, (), None)
    penalty = Penalty(weight=0.1, interval=LAZY)
    config = TrainConfig(steps=1000, batch=game.batch, r1=penalty, r2=penalty)

    def step(mode: Literal["native", "reference"]) -> Callable[[], object]:
        generator, critic = (copy.deepcopy(network).train().requires_grad_(True) for network in networks)
        assert isinstance(generator, Generator)
        assert isinstance(critic, Critic)
        accelerator = Accelerator(cpu=device == "cpu")
        players = Adversaries(generator, critic, config, frozenset(), accelerator, Share(game.batch))

        def run() -> object:
            with ops.use(mode):
                return players.round(0 if direction == "penalised step" else 1, [[batch]])

        return run

    race(
        {"ganart": step("native"), "eager": step("reference")},
        device=device,
        dtype="float32",
        op="training_step",
        group=name,
        shape=f"{game.batch}x3x{game.side}x{game.side}",
        direction=direction,
    )


def _critic(zoo: Zoo, game: Game, own: Mapping[str, Any]) -> Any:
    known = zoo.settings(game.critic).config_names
    sized = {"resolution": game.side} if "resolution" in known else {}
    return zoo.create(game.critic, **own, **sized, **game.critic_settings)
