"""What the recipe `text-critic` can be set to. Torch-free."""

from __future__ import annotations

from ganart_zoo.contract import Field
from ganart_zoo.training import RunSettings

__all__ = ["TextCriticRecipeConfig"]


class TextCriticRecipeConfig(RunSettings):
    """Settings of a training of a text critic."""

    steps: int = Field(default=2000, ge=1, description="Steps of training.")
    batch: int = Field(
        default=192, ge=2, description="Pictures per step; each is told from the captions of the others."
    )
    rate: float = Field(default=1e-3, gt=0, description="Learning rate (AdamW).")
    decay: float = Field(default=0.05, ge=0, description="Weight decay of matrices.")
    recolour: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of colourful pictures that are recoloured, as their caption then says.",
    )
    place: float = Field(
        default=0.1, ge=0, le=1, description="Share of pictures shrunk to one side, as their caption then says."
    )
    mirror: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of pictures that are mirrored, of those whose caption names left or right; it then says so.",
    )
    drop_style: float = Field(
        default=0.3, ge=0, le=1, description="Share of captions that lose what follows their last comma."
    )
    misspell: float = Field(default=0.1, ge=0, le=1, description="Share of captions with a slip of spelling.")
    wrong: int = Field(
        default=3, ge=0, description="Captions per picture that are wrong in one detail, as further candidates."
    )
    measured: int = Field(default=400, ge=2, description="Pictures whose captions are looked for in a measurement.")
