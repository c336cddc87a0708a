"""The option of the generator `flat`."""

from __future__ import annotations

from ganart_zoo.contract import Field, Settings


class Options(Settings):
    size: int | None = Field(None, ge=1, le=64, description="Side of the picture.")
    negative_prompt: str = Field("", description="Recorded, and otherwise not used.")
