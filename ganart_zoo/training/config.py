"""The settings of a training, as one checked object. Imports pydantic, never torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from ganart_zoo.contract.errors import SettingsError, did_you_mean
from ganart_zoo.contract.settings import Field, Settings, model_validator
from ganart_zoo.training.schedules import Curve

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["Augmentation", "Measurement", "Penalty", "TrainConfig", "parse_config"]

Policy = Literal["flip", "colour", "translation", "cutout", "affine"]


class Penalty(Settings):
    """How much one penalty counts, and when."""

    weight: float = Field(default=0.0, ge=0, description="What the penalty is multiplied by; 0 switches it off.")
    interval: int = Field(default=1, ge=1, description="Take it every so many steps, as many times heavier (lazy).")
    final: float = Field(
        default=1.0, gt=0, description="Share of the weight left at the last step; it falls geometrically."
    )


class Augmentation(Settings):
    """What is done to real and generated pictures alike before the critic sees them."""

    policy: tuple[Policy, ...] = Field(default=(), description="Kinds of change, in the order they are applied.")
    probability: float = Field(
        default=1.0, ge=0, le=1, description="Of each kind, for each picture; where it starts if adaptive."
    )
    target: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Adapt the probability until the critic's mean sign on real pictures is this.",
    )
    speed: float = Field(default=500_000, gt=0, description="Adaptive: pictures it takes at least to go from 0 to 1.")
    interval: int = Field(default=4, ge=1, description="Adaptive: steps between corrections.")


class Measurement(Settings):
    """How the averaged generator is measured, so that the best checkpoint is known and kept.

    `ganart_zoo.tasks.train` makes the metric; a `Trainer` on its own is given one.
    """

    name: Literal["frechet", "kernel"] | None = Field(
        default=None,
        description="Distance of its pictures' features from those of the data: frechet or kernel; null: not measured, "
        "and the last weights are the result.",
    )
    samples: int = Field(default=1000, ge=10, description="Pictures generated; as many of the data are taken.")
    seed: int = Field(default=0, ge=0, description="Of the first of them; they are the same latents each time.")
    backbone: str = Field(
        default="ganart-backbones/efficientnet_lite0", description="Name of the model whose features are compared."
    )
    weights: str = Field(default="default", description="The backbone's: a variant, file, folder or hub:….")
    layer: str | None = Field(default=None, description="Of the backbone; null: the deepest but the class head.")
    side: int | None = Field(
        default=None, ge=16, description="Pixels to scale to for the backbone; null: 299 for Inception, else 128."
    )


class TrainConfig(Settings):
    """How to train; which networks on which data is said elsewhere."""

    steps: int = Field(default=10_000, ge=1, description="Steps of the generator.")
    batch: int = Field(default=64, ge=1, description="Pictures a step over all processes together (the global batch).")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Of everything random.")
    loss: Literal["rpgan", "non_saturating", "hinge", "wasserstein", "least_squares"] = Field(
        default="rpgan", description="The adversarial loss."
    )
    r1: Penalty = Field(
        default=Penalty(weight=0.2, interval=4, final=0.1), description="Slope of the critic on real pictures."
    )
    r2: Penalty = Field(
        default=Penalty(weight=0.2, interval=4, final=0.1), description="Its slope on generated pictures."
    )
    gradient_penalty: Penalty = Field(default=Penalty(), description="WGAN-GP: its slope in between, held at 1.")
    path_length: Penalty = Field(default=Penalty(), description="Evenness of a style generator.")
    augment: Augmentation = Field(default=Augmentation(), description="Augmentation of what the critic sees.")
    critic_steps: int = Field(default=1, ge=1, description="Steps of the critic for one of the generator.")
    accumulate: int = Field(default=1, ge=1, description="Parts the batch is computed in, to save memory.")
    precision: Literal["float32", "bfloat16", "float64"] = Field(
        default="float32",
        description="Of the networks' arithmetic: float32, bfloat16 (autocast), or, to compare runs by, float64.",
    )
    generator_rate: float = Field(default=4e-4, gt=0, description="Learning rate of the generator (Adam).")
    critic_rate: float = Field(default=4e-4, gt=0, description="Learning rate of the critic (Adam).")
    betas: tuple[float, float] = Field(
        default=(0.0, 0.99), description="Adam's decay of gradients and of their squares."
    )
    curve: Curve = Field(default="cosine", description="How learning rates fall.")
    warmup: int = Field(default=0, ge=0, description="Steps over which they rise first.")
    final_rate: float = Field(default=0.1, ge=0, le=1, description="Share of the learning rate at the last step.")
    ema_decay: float = Field(default=0.998, ge=0, lt=1, description="Share the averaged weights keep at each step.")
    ema_ramp: float = Field(
        default=0.05, ge=0, description="Their half-life is at most this share of the steps done; 0: no limit."
    )
    recalibrate: int = Field(
        default=100,
        ge=0,
        description="Batches over which the finished generator's batch norm takes its statistics anew; 0: leave them.",
    )
    log_every: int = Field(default=20, ge=1, description="Steps between lines of metrics.jsonl.")
    sample_every: int = Field(default=500, ge=1, description="Steps between sample grids.")
    samples: int = Field(default=36, ge=1, description="Pictures in a grid, of fixed latents.")
    checkpoint_every: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    keep: int = Field(default=2, ge=1, description="Checkpoints to keep, the newest; the best is kept beside them.")
    metric: Measurement = Field(default=Measurement(), description="Measurement of the averaged generator.")
    evaluate_every: int = Field(default=1000, ge=1, description="Steps between measurements, where there are any.")
    workers: int = Field(default=1, ge=0, description="Processes that load pictures; 0 loads in the training process.")

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.batch % self.accumulate:
            raise ValueError(f"batch is {self.batch}, which {self.accumulate} parts (accumulate) do not divide")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {self.betas}, expected each from 0 to below 1")
        if self.augment.target is not None and not self.augment.policy:
            raise ValueError("augment.target is set and augment.policy is empty, so there is nothing to adapt")
        return self


def parse_config(values: Mapping[str, Any]) -> TrainConfig:
    """Return checked settings.

    Raises:
        SettingsError: One line that names each setting at fault, its value and what was expected.
    """
    try:
        return TrainConfig.model_validate(dict(values))
    except ValidationError as error:
        raise SettingsError("; ".join(_problem(detail) for detail in error.errors(include_url=False))) from None


def _problem(detail: ErrorDetails) -> str:
    name = ".".join(("training", *map(str, detail["loc"])))
    if detail["type"] == "extra_forbidden":
        return f"{name} is unknown{did_you_mean(str(detail['loc'][-1]), TrainConfig.model_fields)}"
    expected = " ".join(detail["msg"].split())
    if expected.startswith("Value error, "):
        return expected.removeprefix("Value error, ")
    return f"{name} is {detail['input']!r:.80}, expected {expected.removeprefix('Input should be ')}"
