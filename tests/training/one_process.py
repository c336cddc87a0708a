"""A program for `test_processes`: one process of a training, as a launcher starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from ganart_zoo.data import open_data
from ganart_zoo.training import Augmentation, Penalty, TrainConfig, Trainer

sys.path.insert(0, str(Path(__file__).parent))
from networks import networks


def main(data: Path, run: Path, steps: int, stop_at: int, log_every: int = 1) -> None:
    """Train until the last step, or until the process of the highest rank wants to stop."""
    last = int(os.environ.get("RANK", "0")) == int(os.environ.get("WORLD_SIZE", "1")) - 1
    torch.set_num_threads(1)
    pair = networks(3, own_loss=True)
    pair[0].dropout.p = 0.0  # draws from each process' own generator
    config = TrainConfig(
        steps=steps,
        batch=16,
        accumulate=2,
        workers=0,
        log_every=log_every,
        checkpoint_every=10,
        samples=4,
        critic_steps=2,
        r1=Penalty(weight=1, interval=2),
        r2=Penalty(weight=1, interval=2),
        gradient_penalty=Penalty(weight=0.1, interval=3),
        augment=Augmentation(policy=("flip", "colour", "affine"), probability=0.5, target=0.6, speed=5000),
    )
    trainer = Trainer(
        *pair,
        open_data(data, 8, flip=True),
        config,
        run,
        conditions=["labels"],
        on_step=lambda event: event.step < stop_at or not last,
    )
    trainer.fit(resume=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
    # gloo's threads outlive their group, and now and then abort a process that tidies up after itself.
    sys.stdout.flush()
    os._exit(0)
