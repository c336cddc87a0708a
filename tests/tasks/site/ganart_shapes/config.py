"""Settings of the generators."""

from __future__ import annotations

from ganart_zoo.contract import Field, Settings


class Plain(Settings):
    """Of what has no classes."""

    resolution: int = Field(8, ge=4, description="Side, in pixels.")


class Config(Plain):
    """Of what may have."""

    class_names: tuple[str, ...] = Field((), description="What the labels mean.")


class Truncation(Settings):
    """Of one call."""

    truncation: float = Field(1.0, ge=0, le=1, description="1 leaves styles alone.")
