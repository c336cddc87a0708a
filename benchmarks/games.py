"""Whole steps of training, to be timed: two networks by name, and the round they play on a batch of pictures."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import torch

from ganart_zoo import Zoo, ops
from ganart_zoo.contract import Critic, Generator
from ganart_zoo.data import Batch, Data
from ganart_zoo.training import Engine, Penalty, TrainConfig
from ganart_zoo.training.gan.recipe import Gan

__all__ = ["GAMES", "Direction", "Game", "players"]

Direction = Literal["step", "penalised step"]
_LAZY = 4


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
    "dcgan 64": Game("ganart-dcgan/dcgan", "ganart-dcgan/dcgan_critic", 64, 64, {"width": 24}, {"width": 24}),
    "stylegan2": Game("ganart-stylegan2/stylegan2", "ganart-stylegan2/stylegan2_critic", 64, 4, _NARROW, _NARROW),
    "stylegan2 256": Game("ganart-stylegan2/stylegan2", "ganart-stylegan2/stylegan2_critic", 256, 2, _NARROW, _NARROW),
    "fastgan, projected": Game("ganart-fastgan/fastgan", "ganart-fastgan/projected_critic", 64, 16, {"width": 16}),
    "fastgan, patchgan": Game("ganart-fastgan/fastgan", "ganart-patchgan/patchgan", 64, 16, {"width": 16}),
}


class _Side(Data):
    """Data of which a recipe only learns the side of the pictures; batches are given to its steps directly."""

    def __init__(self, size: int) -> None:
        self.size = size

    def loader(self, share: Any, seed: int, workers: int) -> Any:
        raise NotImplementedError

    def once(self) -> Any:
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        raise NotImplementedError


Play = Callable[[Literal["native", "reference"]], Callable[[], object]]


def players(game: Game, direction: Direction, device: str) -> Play:
    """Build the networks; return what gives, for an implementation of the ops, a step of copies of them."""
    zoo = Zoo()
    torch.manual_seed(0)
    own = {"weights": None, "device": device}
    networks = (
        zoo.create(game.generator, **own, resolution=game.side, **game.settings),
        _critic(zoo, game, own),
    )
    pictures = torch.randint(256, (game.batch, 3, game.side, game.side), dtype=torch.uint8)
    batch = Batch(pictures, None, None, (), None)
    penalty = Penalty(weight=0.1, interval=_LAZY)
    config = TrainConfig(steps=1000, batch=game.batch, r1=penalty, r2=penalty)

    def step(mode: Literal["native", "reference"]) -> Callable[[], object]:
        generator, critic = (copy.deepcopy(network).train().requires_grad_(True) for network in networks)
        assert isinstance(generator, Generator)
        assert isinstance(critic, Critic)
        recipe = Gan(config, {"generator": generator, "critic": critic})
        engine = Engine(recipe, _Side(game.side), device, (), "generator")
        engine.steps_done = 0 if direction == "penalised step" else 1
        engine.set_rates()

        def run() -> object:
            with ops.use(mode):
                return recipe.step([batch])

        return run

    return step


def _critic(zoo: Zoo, game: Game, own: Mapping[str, Any]) -> Any:
    known = zoo.settings(game.critic).config_names
    sized = {"resolution": game.side} if "resolution" in known else {}
    return zoo.create(game.critic, **own, **sized, **game.critic_settings)
