"""Settings of the recipes. Torch-free."""

from __future__ import annotations

from ganart_zoo.contract import Field
from ganart_zoo.training.settings import RunSettings

__all__ = ["AutoencoderConfig", "FlowConfig", "UpscalerConfig"]


class AutoencoderConfig(RunSettings):
    """Settings of `latent-autoencoder`."""

    steps: int = Field(default=1500, ge=1, description="Steps of training.")
    batch: int = Field(default=24, ge=1, description="Pictures per step over all processes together.")
    rate: float = Field(default=4e-4, gt=0, description="Learning rate (AdamW).")
    clip: float | None = Field(default=1.0, gt=0, description="Largest norm of the gradients; null: not clipped.")
    warmup: int = Field(default=50, ge=0, description="Steps over which the learning rate rises first.")
    pixel_weight: float = Field(default=2.0, ge=0, description="Weight of the difference in pixels.")
    feature_weight: float = Field(default=0.5, ge=0, description="Weight of the difference in the backbone's features.")
    noise: float = Field(default=0.15, ge=0, description="Largest noise on the latents that the decoder must bear.")
    train_encoder: bool = Field(
        default=False,
        description="Train the encoder too; a flow trained on the old latents then has to be trained anew.",
    )
    samples: int = Field(default=16, ge=1, description="Pictures in a sample grid.")


class FlowConfig(RunSettings):
    """Settings of `latent-flow`."""

    steps: int = Field(default=2000, ge=1, description="Steps of training.")
    batch: int = Field(default=64, ge=1, description="Pictures per step over all processes together.")
    rate: float = Field(default=1e-3, gt=0, description="Learning rate (AdamW).")
    table_rate: float = Field(default=5.0, gt=0, description="Learning rate of the words' table, as a multiple.")
    clip: float | None = Field(default=1.0, gt=0, description="Largest norm of the gradients; null: not clipped.")
    warmup: int = Field(default=100, ge=0, description="Steps over which the learning rate rises first.")
    final_rate: float = Field(default=0.03, ge=0, le=1, description="Share of the learning rate at the last step.")
    time_mean: float = Field(
        default=-0.3, description="Mean of the normal draw whose logistic is the time; negative prefers noisy latents."
    )
    no_prompt: float = Field(
        default=0.1, ge=0, lt=1, description="Share of pictures shown without their caption, which guidance needs."
    )
    vary: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of pictures that are recoloured or placed elsewhere, with captions that say so.",
    )
    shorten: float = Field(
        default=0.0, ge=0, le=1, description="Share of captions cut at the first comma, behind which a style stands."
    )
    samples: int = Field(default=16, ge=1, description="Pictures in a sample grid.")


class UpscalerConfig(RunSettings):
    """Settings of `latent-upscaler`."""

    steps: int = Field(default=2000, ge=1, description="Steps of training.")
    batch: int = Field(default=16, ge=1, description="Pictures per step over all processes together.")
    rate: float = Field(default=1e-3, gt=0, description="Learning rate (AdamW).")
    clip: float | None = Field(default=0.5, gt=0, description="Largest norm of the gradients; null: not clipped.")
    warmup: int = Field(default=30, ge=0, description="Steps over which the learning rate rises first.")
    final_rate: float = Field(default=0.03, ge=0, le=1, description="Share of the learning rate at the last step.")
    edge_weight: float = Field(default=0.5, ge=0, description="Weight of the difference in neighbouring pixels' steps.")
    decoded: float = Field(
        default=0.6, ge=0, le=1, description="Share of the small pictures that pass through the autoencoder first."
    )
    window: int = Field(
        default=32, ge=8, description="Side of the square that is enlarged of each small picture, in pixels."
    )
    samples: int = Field(default=24, ge=1, description="Pictures in a sample grid, three for each original.")
