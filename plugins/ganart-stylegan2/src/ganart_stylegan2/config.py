"""The configuration of the generator and the critic, and the options of a call. Torch-free."""

from __future__ import annotations

from ganart_zoo.contract import Field, Settings, field_validator
from ganart_zoo.contract.declarations import repeated

__all__ = ["CriticConfig", "GeneratorConfig", "GeneratorOptions"]

_FIRST_SIDE = 4


class CriticConfig(Settings):
    """Settings of the critic."""

    resolution: int = Field(
        256,
        ge=8,
        le=1024,
        description="Side of the pictures, in pixels: a power of two.",
        json_schema_extra={"enum": [1 << power for power in range(3, 11)]},
    )
    class_names: tuple[str, ...] = Field((), description="Names of the labels; empty for a network without classes.")
    channel_base: int = Field(
        32768, ge=1024, description="A map with sides of s pixels has channel_base / s channels, at most max_channels."
    )
    max_channels: int = Field(512, ge=1, description="The maximum number of channels of a map.")
    mapping_layers: int = Field(8, ge=1, le=16, description="Layers from latent (or, in the critic, class) to style.")

    @field_validator("resolution")
    @classmethod
    def _doubles_from_4(cls, resolution: int) -> int:
        if resolution & (resolution - 1):
            raise ValueError(f"resolution is {resolution}, expected a power of two from 8 to 1024")
        return resolution

    @field_validator("class_names")
    @classmethod
    def _names_differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if twice := repeated(names):
            raise ValueError(f"two classes are named {twice[0]!r}")
        return names

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides of the maps, from 4 to `resolution`."""
        return tuple(1 << power for power in range(2, self.resolution.bit_length()))

    def channels(self, side: int) -> int:
        """Return the channels of a map of `side` pixels."""
        return min(self.max_channels, self.channel_base // side)


class GeneratorConfig(CriticConfig):
    """Settings of the generator."""

    latent_size: int = Field(512, ge=1, description="Length of the latent vector.")
    style_size: int = Field(512, ge=1, description="Length of each layer's style vector.")
    style_mixing: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Share of pictures whose finer layers use the styles of a second latent in training.",
    )


class GeneratorOptions(Settings):
    """Options of a call."""

    truncation: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="1 leaves styles as they are, 0 gives the mean picture; 0.7 is often prettier.",
    )
