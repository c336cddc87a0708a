"""The configuration of the critic. Torch-free."""

from __future__ import annotations

from typing import Literal

from ganart_zoo.contract import Field, Settings

__all__ = ["Config"]


class Config(Settings):
    """Settings of PatchGAN."""

    halvings: int = Field(
        3, ge=0, le=6, description="Layers that halve the side: 3 sees patches of 70 pixels, 2 of 34, 1 of 16."
    )
    scales: int = Field(
        1,
        ge=1,
        le=4,
        description="Number of critics; each sees the picture at half the side of the one before (3 in pix2pixHD).",
    )
    width: int = Field(
        64, ge=1, description="Channels of the first layer; each further layer doubles them, up to 8 times."
    )
    norm: Literal["spectral", "instance", "none"] = Field(
        "spectral",
        description="Normalisation of weights (spectral), or of each picture's features (instance), or none.",
    )
    reference: bool = Field(
        False, description="Judge pictures beside a reference, given as Condition(images=...), as pix2pix does."
    )
