"""What can be configured of the critic. Torch-free."""

from __future__ import annotations

from ganart_zoo.contract import Field, Settings

__all__ = ["Config"]


class Config(Settings):
    """Settings of CLIP."""

    crops: int = Field(
        0,
        ge=0,
        le=64,
        description="Votes on random parts of each picture, beside that on the whole: steadier guidance.",
    )
    crop_seed: int = Field(0, ge=0, description="Seed of these parts; they are the same at every call.")
    architecture: str | None = Field(
        None,
        description="Folder with config.json and tokenizer, from which an untrained network is built (weights=None).",
    )
