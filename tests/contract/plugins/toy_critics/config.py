"""Settings of the projected critic."""

from ganart_zoo.contract import Field, Settings


class Config(Settings):
    layers: tuple[str, ...] | None = Field(None, description="Of the backbone; none means its critic taps.")
