"""Training of networks on pictures: recipes, runs, and the recipe for generators and critics.

    from pathlib import Path
    from ganart_zoo.data import open_data
    from ganart_zoo.training import Penalty, TrainConfig, Trainer

    data = open_data(Path("pictures.npz"), size=32)
    config = TrainConfig(steps=5000, batch=64, loss="rpgan", r1=Penalty(weight=1, interval=4, final=0.1))
    trained = Trainer(generator, critic, data, config, Path("runs/first")).fit()

A `Recipe` says what is learned, and a `Run` owns the folder of the training. `Trainer` is a run of the recipe that
trains a generator against a critic. docs/recipes.md explains how to write a recipe.

A network that is trained against a critic needs to know this. Training calls only its `forward` (and `map` and
`synthesize` of a style generator, for path-length regularization), in train mode, with pictures in 0..1 and a
`Condition` with the parts in `Trainer(conditions=...)`, or None. The losses in a critic's `CriticOutput.losses` are
added with weight 1, for real pictures only. On the CPU, a generator gets one `rng` per row for its noise, so that a row
does not depend on the batch around it; on other devices it gets None. A generator that normalises over the batch uses
`BatchNorm`, which several processes share; for other statistics of a batch, use `mean_over_processes`.

Names load when they are first used. Settings (`RunSettings`, `TrainConfig`, `Penalty`) do not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ganart_zoo.contract.moved import moved

if TYPE_CHECKING:
    from ganart_zoo.training.batch_norm import BatchNorm, recalibrate
    from ganart_zoo.training.ema import MovingAverage
    from ganart_zoo.training.engine import Engine, Part
    from ganart_zoo.training.gan.augment import AdaptiveProbability, Augment
    from ganart_zoo.training.gan.config import Augmentation, Penalty, TrainConfig
    from ganart_zoo.training.gan.losses import LOSSES, AdversarialLoss
    from ganart_zoo.training.processes import mean_over_processes, sum_over_processes
    from ganart_zoo.training.recipe import Recipe
    from ganart_zoo.training.run import Run, Trained
    from ganart_zoo.training.settings import Measurement, RunSettings
    from ganart_zoo.training.trainer import Trainer

_LAZY = {
    **dict.fromkeys(("AdaptiveProbability", "Augment"), "gan.augment"),
    **dict.fromkeys(("BatchNorm", "recalibrate"), "batch_norm"),
    **dict.fromkeys(("Augmentation", "Penalty", "TrainConfig"), "gan.config"),
    "MovingAverage": "ema",
    **dict.fromkeys(("Engine", "Part"), "engine"),
    **dict.fromkeys(("LOSSES", "AdversarialLoss"), "gan.losses"),
    **dict.fromkeys(("mean_over_processes", "sum_over_processes"), "processes"),
    "Recipe": "recipe",
    **dict.fromkeys(("Run", "Trained"), "run"),
    **dict.fromkeys(("Measurement", "RunSettings"), "settings"),
    "Trainer": "trainer",
}

_MOVED = dict.fromkeys(("ArrayData", "Data", "open_data"), "ganart_zoo.data")

__all__ = [
    "LOSSES",
    "AdaptiveProbability",
    "AdversarialLoss",
    "Augment",
    "Augmentation",
    "BatchNorm",
    "Engine",
    "Measurement",
    "MovingAverage",
    "Part",
    "Penalty",
    "Recipe",
    "Run",
    "RunSettings",
    "TrainConfig",
    "Trained",
    "Trainer",
    "mean_over_processes",
    "recalibrate",
    "sum_over_processes",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    if name in _MOVED:
        return moved(name, __name__, _MOVED[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
