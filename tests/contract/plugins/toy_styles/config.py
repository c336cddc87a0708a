"""Settings of the style-based generator."""

from ganart_zoo.contract import Field, Settings


class Config(Settings):
    resolution: int = Field(16, ge=8, le=64, multiple_of=8, description="Side of the pictures, in pixels.")
    class_names: tuple[str, ...] = Field(("cat", "dog"), description="What the labels mean.")
    w_dim: int = Field(6, ge=1, description="Length of a style.")


class Options(Settings):
    truncation: float = Field(0.7, ge=0, le=1, description="1 leaves styles alone, 0 gives the mean picture.")
