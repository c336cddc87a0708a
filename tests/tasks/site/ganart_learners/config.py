"""Settings of both networks."""

from __future__ import annotations

from ganart_zoo.contract import Field, Settings


class Config(Settings):
    resolution: int = Field(16, ge=4, description="Side of the pictures.")
    class_names: tuple[str, ...] = Field((), description="Classes; none for an unconditional model.")
    width: int = Field(8, ge=1, description="Hidden units.")
