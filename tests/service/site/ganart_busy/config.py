"""Options of the busy models."""

from __future__ import annotations

from ganart_zoo.contract import Field, Settings


class Options(Settings):
    """Of one call."""

    steps: int = Field(3, ge=1, le=100_000, description="Steps.")
    pause: float = Field(0.0, ge=0, le=60, description="Seconds of each step.")
    mark: str = Field("", description="A file that gets the number of the process at the first step.")
