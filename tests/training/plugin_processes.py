"""A program for `test_processes`: one process of the trainings of the first-party networks, as a launcher starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from ganart_zoo import Zoo
from ganart_zoo.tasks.train import train
from ganart_zoo.training import Penalty, TrainConfig

_PENALTY = Penalty(weight=0.3, interval=4, final=0.03)
CONFIG = TrainConfig(
    steps=20, batch=8, precision="float64", workers=0, log_every=1, samples=4, recalibrate=2, r1=_PENALTY, r2=_PENALTY
)
_SMALL = {"channel_base": 1024, "max_channels": 8, "mapping_layers": 2}
_SIDES = {"resolution": 16, "view": 32, "width": 4, "max_width": 8}
_BACKBONE = {"model": "efficientnet_lite0", "weights": None, "classifier": False}
PAIRS = {
    "dcgan": (("dcgan", {"width": 4}), ("dcgan_critic", {"width": 4}), {}),
    "fastgan": (("fastgan", {"width": 8, "latent_size": 8}), ("patchgan", {"width": 4, "halvings": 1}), {}),
    "projected": (
        ("fastgan", {"width": 8, "latent_size": 8}),
        ("projected_critic", {**_SIDES, "backbone": _BACKBONE}),
        {"critic_steps": 2, "r1": Penalty(), "r2": Penalty(), "steps": 6},  # half as fast as all others together
    ),
    "stylegan2": (
        ("stylegan2", {**_SMALL, "latent_size": 8, "style_size": 8}),
        ("stylegan2_critic", _SMALL),
        {"path_length": Penalty(weight=2, interval=2)},
    ),
}


def main(data: Path, folder: Path) -> None:
    """Train each pair into a run of its own."""
    torch.set_num_threads(1)
    zoo = Zoo()
    for name, ((generator, settings), (critic, critic_settings), changes) in PAIRS.items():
        train(
            zoo,
            generator,
            critic,
            data,
            folder / name,
            config=CONFIG.model_copy(update=changes),
            generator_settings=settings,
            critic_settings=critic_settings,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    # gloo's threads outlive their group, and now and then abort a process that tidies up after itself.
    sys.stdout.flush()
    os._exit(0)
