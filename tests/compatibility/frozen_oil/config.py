"""The settings of FrozenOil. Torch-free."""

from __future__ import annotations

from ganart_zoo.contract import Field, Settings

__all__ = ["Config", "Options"]


class Config(Settings):
    """What is built."""

    width: int = Field(default=8, ge=1, description="Channels of the hidden layer.")


class Options(Settings):
    """What one call may change."""

    strength: float = Field(default=1.0, ge=0, le=1, description="0 keeps the photo, 1 takes the whole style.")
