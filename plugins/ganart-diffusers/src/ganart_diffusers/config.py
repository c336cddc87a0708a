"""What can be configured of a pipeline, and what one call may change. Torch-free."""

from __future__ import annotations

from typing import Literal

from ganart_zoo.contract import Field, Settings

__all__ = ["Config", "Options"]


class Config(Settings):
    """Settings of a pipeline."""

    resolution: int | None = Field(
        None,
        ge=8,
        multiple_of=8,
        description="Side of the pictures in pixels; null: the one the pipeline was trained for.",
    )
    attention_slicing: bool = Field(False, description="Compute attention in slices: less memory, more time.")
    vae_tiling: bool = Field(False, description="Decode large pictures in tiles: less memory, more time.")
    offload: bool = Field(
        False,
        description="Keep on the accelerator only the part in use: far less memory, more time, one call at once.",
    )
    architecture: str | None = Field(
        None, description="Folder whose configurations an untrained pipeline is built from (weights=None)."
    )


class Options(Settings):
    """What one call may change."""

    steps: int | None = Field(None, ge=1, le=1000, description="Denoising steps; null: the pipeline's default.")
    guidance: float | None = Field(
        None, ge=0, le=50, description="How strongly the prompt is followed; null: the pipeline's default."
    )
    negative_prompt: str = Field("", description="What the picture should not show.")
    scheduler: Literal["ddim", "euler", "euler_ancestral", "dpm", "unipc", "heun", "lcm", "flow_euler"] | None = Field(
        None, description="How noise is removed from step to step; null: as the pipeline has it."
    )
    strength: float = Field(
        0.6, gt=0, le=1, description="How much of a picture given as init may change; 1: all of it."
    )
