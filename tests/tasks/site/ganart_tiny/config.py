"""Settings of the tiny models, of every type that the command line must read."""

from __future__ import annotations

from typing import Literal

from ganart_zoo.contract import Field, Settings


class Grain(Settings):
    """A group of settings."""

    size: int = Field(1, ge=1, description="Pixels.")
    amount: float = Field(0.05, ge=0, description="Of noise.")


class PoolConfig(Settings):
    """Of the backbone."""

    block: int = Field(2, ge=1, le=8, description="Side of a block, in pixels.")


class Config(Settings):
    """Of the style transfer."""

    layers: tuple[str, ...] | None = Field(None, description="Layers of the backbone.")
    title: str = Field("", description="Any text.")
    grain: Grain = Field(Grain(), description="Of the noise.")
    layer_weights: dict[str, float] = Field({}, description="By layer.")


class Options(Settings):
    """Of one call."""

    steps: int = Field(4, ge=1, le=100, description="Steps.")
    alpha: float = Field(0.5, ge=0, le=1, description="Share of the style.")
    preserve_colour: Literal["off", "luminance"] = Field("off", description="Of the photo.")
    noise: bool = Field(True, description="Add noise.")
    interrupt_at: tuple[int, ...] = Field((), description="Steps at which Ctrl-C is pressed.")
    interrupt_twice: bool = Field(False, description="Press it twice there.")
