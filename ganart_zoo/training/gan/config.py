"""The settings of the recipe `gan`. Imports pydantic, never torch."""

from __future__ import annotations

from typing import Literal

from ganart_zoo.contract.settings import Field, Settings, model_validator
from ganart_zoo.training.settings import RunSettings

__all__ = ["Augmentation", "Penalty", "TrainConfig"]

Policy = Literal["flip", "colour", "translation", "cutout", "affine"]


class Penalty(Settings):
    """How much one penalty counts, and when."""

    weight: float = Field(default=0.0, ge=0, description="What the penalty is multiplied by; 0 switches it off.")
    interval: int = Field(
        default=1, ge=1, description="Steps between the penalty's terms, which count that many times more (lazy)."
    )
    final: float = Field(
        default=1.0, gt=0, description="Share of the weight left at the last step; it falls geometrically."
    )


class Augmentation(Settings):
    """How real and generated pictures alike are changed before the critic sees them."""

    policy: tuple[Policy, ...] = Field(default=(), description="Kinds of change, in the order they are applied.")
    probability: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Probability of each kind of change for each picture; adaptive augmentation starts from it.",
    )
    target: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Adapt the probability until the critic's mean sign on real pictures is this.",
    )
    speed: float = Field(
        default=500_000, gt=0, description="Adaptive: least number of pictures in which it goes from 0 to 1."
    )
    interval: int = Field(default=4, ge=1, description="Adaptive: steps between corrections.")


class TrainConfig(RunSettings):
    """How to train a generator against a critic."""

    steps: int = Field(default=10_000, ge=1, description="Steps of the generator.")
    loss: Literal["rpgan", "non_saturating", "hinge", "wasserstein", "least_squares"] = Field(
        default="rpgan", description="The adversarial loss."
    )
    r1: Penalty = Field(
        default=Penalty(weight=0.2, interval=4, final=0.1), description="Slope of the critic on real pictures."
    )
    r2: Penalty = Field(
        default=Penalty(weight=0.2, interval=4, final=0.1), description="Slope of the critic on generated pictures."
    )
    gradient_penalty: Penalty = Field(
        default=Penalty(), description="WGAN-GP: slope of the critic between real and generated pictures, held at 1."
    )
    path_length: Penalty = Field(default=Penalty(), description="Path-length regularization of a style generator.")
    augment: Augmentation = Field(default=Augmentation(), description="Augmentation of what the critic sees.")
    critic_steps: int = Field(default=1, ge=1, description="Steps of the critic per step of the generator.")
    generator_rate: float = Field(default=4e-4, gt=0, description="Learning rate of the generator (Adam).")
    critic_rate: float = Field(default=4e-4, gt=0, description="Learning rate of the critic (Adam).")
    betas: tuple[float, float] = Field(
        default=(0.0, 0.99), description="Adam's decay of gradients and of their squares."
    )
    recalibrate: int = Field(
        default=100,
        ge=0,
        description="Batches from which the finished generator's batch norm computes its statistics; 0: leave them.",
    )

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {self.betas}, expected each from 0 to below 1")
        if self.augment.target is not None and not self.augment.policy:
            raise ValueError("augment.target is set and augment.policy is empty, so there is nothing to adapt")
        return self
