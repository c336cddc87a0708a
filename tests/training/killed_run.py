"""A program for `test_kill`: trains in child processes and kills each at a random moment.

Children are forked from a process that has imported everything and computed nothing; a start of Python takes seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # optimizers want it

from ganart_zoo.data import open_data
from ganart_zoo.training import Augmentation, TrainConfig, Trainer

sys.path.insert(0, str(Path(__file__).parent))
from networks import networks, write_npz

KILLS = 10


def train(folder: Path, pipe: int | None = None) -> None:
    torch.set_num_threads(1)
    config = TrainConfig(
        steps=260,
        batch=8,
        workers=0,
        log_every=5,
        sample_every=50,
        samples=4,
        checkpoint_every=3,
        augment=Augmentation(policy=("flip", "translation"), probability=0.2, target=0.5, speed=10_000),
    )
    data = open_data(folder.parent / "data.npz")

    def on_step(event: object) -> None:
        if pipe is not None:
            os.write(pipe, b".")

    Trainer(*networks(3), data, config, folder, conditions=["labels"], on_step=on_step).fit(resume=True)


def child(folder: Path) -> tuple[int, int]:
    """Start a training; return its process and a pipe that gives a byte a step."""
    read, write = os.pipe()
    if pid := os.fork():
        os.close(write)
        return pid, read
    try:
        os.close(read)
        train(folder, write)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def main(folder: Path) -> None:
    write_npz(folder / "data.npz", classes=3)
    chance = random.Random(0)
    kills = 0
    while kills < KILLS:
        pid, steps = child(folder / "killed")
        for _ in range(chance.randint(1, 24)):
            if not os.read(steps, 1):
                break
        time.sleep(chance.uniform(0, 0.02))  # into a step, its journal or its checkpoint
        os.kill(pid, signal.SIGKILL)
        kills += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        os.close(steps)
    for name in ("killed", "whole"):
        pid, steps = child(folder / name)
        while os.read(steps, 64):
            pass
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            sys.exit(f"{name} failed")
    print(json.dumps({"kills": kills}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
