"""Settings of the dream."""

from ganart_zoo.contract import Field, Settings


class DreamOptions(Settings):
    steps: int = Field(8, ge=1, le=1000, description="Steps of ascent.")
    strength: float = Field(0.05, gt=0, description="How far a step goes.")
    layers: tuple[str, ...] | None = Field(None, description="Of the backbone; none means its dream taps.")
