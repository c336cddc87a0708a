"""The settings that every training has, whatever its recipe. Imports pydantic, never torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import ValidationError

from ganart_zoo.contract.errors import SettingsError, did_you_mean
from ganart_zoo.contract.settings import Field, Settings, field_validator, model_validator
from ganart_zoo.metrics.table import TRAINING_METRICS
from ganart_zoo.training.schedules import Curve

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["Measurement", "RunSettings", "parse_config"]


class Measurement(Settings):
    """How the averaged generator is measured, so that the best checkpoint is known and kept.

    `ganart_zoo.tasks.train` makes the metric; a `Trainer` on its own is given one.
    """

    name: str | None = Field(
        default=None,
        description=f"Metric of the features of its pictures and of the data: {', '.join(TRAINING_METRICS)}; null: it "
        "is not measured, and the last weights are the result.",
        json_schema_extra={"enum": [None, *TRAINING_METRICS]},
    )
    samples: int = Field(default=1000, ge=10, description="Pictures generated; as many of the data are taken.")
    seed: int = Field(default=0, ge=0, description="Seed of the first of them; every measurement uses the same seeds.")
    backbone: str = Field(
        default="ganart-backbones/efficientnet_lite0", description="Name of the model whose features are compared."
    )
    weights: str = Field(default="default", description="The backbone's weights: a variant, file, folder or hub:….")
    layer: str | None = Field(
        default=None, description="Layer of the backbone; null: the deepest one that is not the class head."
    )
    side: int | None = Field(
        default=None, ge=16, description="Pixels to scale to for the backbone; null: 299 for Inception, else 128."
    )

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str | None) -> str | None:
        if name == "none":  # as on a command line
            return None
        if name is not None and name not in TRAINING_METRICS:
            raise ValueError(f"training.metric.name is {name!r:.80}, expected one of {', '.join(TRAINING_METRICS)}")
        return name


class RunSettings(Settings):
    """What every training can be set to. The config of a recipe derives from it, and may change defaults.

    class Config(RunSettings):
        steps: int = Field(default=2000, ge=1, description="Steps of training.")
        rate: float = Field(default=1e-3, gt=0, description="Learning rate (Adam).")
    """

    steps: int = Field(default=10_000, ge=1, description="Steps of training.")
    batch: int = Field(
        default=64, ge=1, description="Pictures per step over all processes together (the global batch)."
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of everything random.")
    accumulate: int = Field(default=1, ge=1, description="Parts in which the batch is computed, to save memory.")
    precision: Literal["float32", "bfloat16", "float64"] = Field(
        default="float32",
        description="Arithmetic of the networks: float32, bfloat16 (autocast), or float64, to compare runs exactly.",
    )
    clip: float | None = Field(
        default=None, gt=0, description="Largest norm of an optimizer's gradients; null: they are not clipped."
    )
    curve: Curve = Field(default="cosine", description="How learning rates fall: constant, linear or cosine.")
    warmup: int = Field(default=0, ge=0, description="Steps over which learning rates rise first.")
    final_rate: float = Field(default=0.1, ge=0, le=1, description="Share of the learning rate at the last step.")
    ema_decay: float = Field(
        default=0.998, ge=0, lt=1, description="Share of the averaged weights that is kept at each step."
    )
    ema_ramp: float = Field(
        default=0.05, ge=0, description="Their half-life is at most this share of the steps done; 0: no limit."
    )
    log_every: int = Field(default=20, ge=1, description="Steps between lines of metrics.jsonl.")
    sample_every: int = Field(default=500, ge=1, description="Steps between sample grids.")
    samples: int = Field(default=36, ge=1, description="Pictures in a sample grid.")
    checkpoint_every: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    keep: int = Field(default=2, ge=1, description="Newest checkpoints to keep; the best is kept beside them.")
    metric: Measurement = Field(default=Measurement(), description="Measurement of the averaged network.")
    evaluate_every: int = Field(default=1000, ge=1, description="Steps between measurements, if there are any.")
    workers: int = Field(default=1, ge=0, description="Processes that load pictures; 0 loads in the training process.")

    @model_validator(mode="after")
    def _check_parts(self) -> RunSettings:
        if self.batch % self.accumulate:
            raise ValueError(f"batch is {self.batch}, which {self.accumulate} parts (accumulate) do not divide")
        return self


_Config = TypeVar("_Config", bound=RunSettings)


def parse_config(values: Mapping[str, Any], config_class: type[_Config]) -> _Config:
    """Return checked settings of a training.

    Args:
        values: By name, as a settings file has them under `training`.
        config_class: The config of the recipe.

    Raises:
        SettingsError: One line that names each setting at fault, its value and what was expected.
    """
    try:
        return config_class.model_validate(dict(values))
    except ValidationError as error:
        problems = [_problem(detail, config_class) for detail in error.errors(include_url=False)]
        raise SettingsError("; ".join(problems)) from None


def _problem(detail: ErrorDetails, config_class: type[RunSettings]) -> str:
    name = ".".join(("training", *map(str, detail["loc"])))
    if detail["type"] == "extra_forbidden":
        return f"{name} is unknown{did_you_mean(str(detail['loc'][-1]), config_class.model_fields)}"
    expected = " ".join(detail["msg"].split())
    if expected.startswith("Value error, "):
        return expected.removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"{name} is missing"
    return f"{name} is {detail['input']!r:.80}, expected {expected.removeprefix('Input should be ')}"
