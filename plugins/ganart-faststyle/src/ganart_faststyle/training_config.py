"""The settings of the recipes `faststyle` and `adain`. Torch-free."""

from __future__ import annotations

from typing import Literal

from ganart_zoo.contract import Field, model_validator
from ganart_zoo.training import RunSettings

__all__ = ["AdaINTrainingConfig", "FastStyleConfig", "LossSettings"]


class LossSettings(RunSettings):
    """What both recipes have: the weights of the losses, and defaults of the run."""

    steps: int = Field(default=4000, ge=1, description="Steps of training.")
    batch: int = Field(default=4, ge=1, description="Photos per step over all processes together (the global batch).")
    ema_decay: float = Field(
        default=0.99, ge=0, lt=1, description="Share of the averaged weights that is kept at each step."
    )
    samples: int = Field(default=16, ge=1, description="Pictures in a sample grid: photos in each style in turn.")
    checkpoint_every: int = Field(default=200, ge=1, description="Steps between checkpoints.")
    sample_every: int = Field(default=200, ge=1, description="Steps between sample grids.")
    content_weight: float = Field(default=0.2, ge=0, description="Weight of the content loss: fidelity to the photo.")
    style_weight: float = Field(default=1.0, gt=0, description="Weight of the style loss.")
    tv_weight: float = Field(default=2.0, ge=0, description="Weight of the total variation: smoothness, fewer specks.")
    rate: float = Field(default=1e-3, gt=0, description="Learning rate (Adam).")
    compute: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Arithmetic of the backbone: 'auto' is bfloat16 where the device is faster in it. A run in float64 "
        "keeps it in float64.",
    )

    @property
    def arithmetic(self) -> Literal["auto", "float32", "bfloat16"]:
        """What the backbone is asked for: 'auto' keeps the float64 of a run in float64."""
        return "auto" if self.precision == "float64" else self.compute


class FastStyleConfig(LossSettings):
    """How a multi-style network learns the styles of pictures, from photos."""

    style: tuple[str, ...] = Field(
        default=(),
        description="Files of the style pictures, one per style. A style is named after its file, without the suffix.",
    )
    trunk: str | None = Field(
        default=None,
        description="Weights file of a trained network. Its convolutions and its styles stay as they are, and only the "
        "scales and shifts of the new styles are trained, which takes minutes. null: train everything.",
    )
    muon_rate: float | None = Field(
        default=None,
        gt=0,
        description="Learning rate of the filters by Muon, 0.02 for instance; rate is then that of the scales and "
        "shifts alone. null: Adam for all.",
    )
    style_size: int | None = Field(
        default=None,
        ge=32,
        description="Long side of the style pictures in pixels, which decides the size of the strokes; null: twice the "
        "side of the photos.",
    )

    @model_validator(mode="after")
    def _check_styles(self) -> FastStyleConfig:
        if len(set(self.style)) < len(self.style):
            raise ValueError("style names a file twice; give each style once")
        return self


class AdaINTrainingConfig(LossSettings):
    """How the decoder of `adain` learns to paint in any style, from photos and style pictures."""

    steps: int = Field(default=8000, ge=1, description="Steps of training.")
    style: tuple[str, ...] = Field(
        default=(),
        description="Files of style pictures. With style_data too, half of the photos get one of these.",
    )
    style_data: str | None = Field(
        default=None, description="A folder of style pictures, or an .npz file of them (--style-data)."
    )
    style_size: int | None = Field(
        default=None,
        ge=32,
        description="Side of the squares cut from the style pictures, in pixels; null: twice the side of the photos.",
    )
    recolour: float = Field(
        default=0.3, ge=0, le=1, description="Share of the style pictures whose colours are exchanged or inverted."
    )
