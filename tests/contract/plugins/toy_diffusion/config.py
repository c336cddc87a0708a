"""Settings of the step-by-step generator."""

from ganart_zoo.contract import Field, Settings


class Config(Settings):
    resolution: int = Field(12, ge=4, le=64, description="Side of the pictures, in pixels.")


class Options(Settings):
    steps: int = Field(10, ge=1, le=1000, description="Denoising steps.")
    guidance: float = Field(2.0, ge=0, description="How strongly the prompt pulls; 1 does so plainly.")
    negative_prompt: str = Field("", description="What to keep away from.")
