"""The configuration of the generator and of the projected critic. Torch-free."""

from __future__ import annotations

from ganart_zoo.contract import Field, Settings, field_validator

__all__ = ["CriticConfig", "GeneratorConfig"]


class GeneratorConfig(Settings):
    """Settings of FastGAN."""

    resolution: int = Field(
        64,
        ge=8,
        le=1024,
        description="Side of the pictures, in pixels: a power of two.",
        json_schema_extra={"enum": [1 << power for power in range(3, 11)]},
    )
    width: int = Field(
        32,
        ge=8,
        multiple_of=8,
        description="Channels of the map of 128 pixels, 64 in the paper; smaller maps have more.",
    )
    latent_size: int = Field(128, ge=1, description="Length of the latent vector; 256 in the paper.")

    @field_validator("resolution")
    @classmethod
    def _doubles_from_4(cls, resolution: int) -> int:
        if resolution & (resolution - 1):
            raise ValueError(f"resolution is {resolution}, expected a power of two from 8 to 1024")
        return resolution


class CriticConfig(Settings):
    """Settings of the projected critic."""

    resolution: int = Field(64, ge=8, le=1024, description="Side of the pictures, in pixels.")
    view: int = Field(
        128, ge=32, le=1024, description="Smaller pictures are enlarged to this side before the backbone sees them."
    )
    layers: tuple[str, ...] | None = Field(
        None, description="Layers of the backbone, shallow to deep; by default, its taps for critics."
    )
    width: int = Field(
        32, ge=1, description="Channels that the first layer is mixed into; each further layer has twice as many."
    )
    max_width: int = Field(256, ge=1, description="The maximum number of channels in mixing and heads.")
    pixel_head: bool = Field(False, description="Add a head that votes on the picture itself, without the backbone.")
