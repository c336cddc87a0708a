"""The configuration of the generator and the critic. Torch-free."""

from __future__ import annotations

from ganart_zoo.contract import Field, Settings, field_validator
from ganart_zoo.contract.declarations import repeated

__all__ = ["CriticConfig", "GeneratorConfig"]


class CriticConfig(Settings):
    """Settings of the critic."""

    resolution: int = Field(
        32,
        ge=8,
        le=512,
        description="Side of the pictures, in pixels: a power of two.",
        json_schema_extra={"enum": [1 << power for power in range(3, 10)]},
    )
    class_names: tuple[str, ...] = Field((), description="Names of the labels; empty for a network without classes.")
    width: int = Field(32, ge=1, description="Channels at full resolution; each halving of the side doubles them.")
    max_width: int = Field(512, ge=1, description="The maximum number of channels of a layer.")

    @field_validator("resolution")
    @classmethod
    def _halves_down_to_4(cls, resolution: int) -> int:
        if resolution & (resolution - 1):
            raise ValueError(f"resolution is {resolution}, expected a power of two from 8 to 512")
        return resolution

    @field_validator("class_names")
    @classmethod
    def _names_differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := repeated(names):
            raise ValueError(f"two classes are named {twice[0]!r}")
        return names

    def channels(self, side: int) -> int:
        """Return the channels of a map of `side` pixels."""
        return min(self.max_width, self.width * self.resolution // side)


class GeneratorConfig(CriticConfig):
    """Settings of the generator."""

    latent_size: int = Field(128, ge=1, description="Length of the latent vector.")
