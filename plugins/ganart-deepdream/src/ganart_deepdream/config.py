"""The settings of dreams: what is built, and what one call may change. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from ganart_zoo.contract import Field, Settings, model_validator

__all__ = ["Config", "Options"]

_Number = Annotated[int, Field(ge=0)]
"""Of a channel or an output, counted from 0."""


class Config(Settings):
    """How the network is run."""

    compute: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Precision of the backbone; the picture and its gradient stay float32. 'auto' is bfloat16 where "
        "the device multiplies that faster, unless the model was created with a dtype other than float32.",
    )


class Options(Settings):
    """What one call may change. There is no `size`: the result has the size of the content."""

    layers: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Backbone layers to raise; several count alike. None: its dream taps.",
    )
    channels: tuple[_Number, ...] | None = Field(
        None, min_length=1, description="Raise only these channels of the one layer, counted from 0. None: all."
    )
    classes: tuple[_Number, ...] | None = Field(
        None,
        min_length=1,
        description="Raise these outputs of the backbone's class head in place of a layer, counted from 0: for "
        "ImageNet networks, 207 is a golden retriever and 970 an alp.",
    )
    steps: int = Field(60, ge=1, le=100_000, description="Gradient steps, over all octaves together.")
    step_size: float = Field(
        0.01, gt=0, le=1, description="Mean change of a pixel in one step, in units of the picture's range 0..1."
    )
    octaves: int | None = Field(
        None,
        ge=1,
        le=32,
        description="The number of sizes to dream at, the last that of the photo; never more than steps. More octaves "
        "make larger shapes. None: as many as keep the long side of the first at 128 pixels or more.",
    )
    octave_ratio: float = Field(
        1.4, ge=1.05, le=4, description="How many times as large each octave is as the one before."
    )
    jitter: int = Field(
        32,
        ge=0,
        le=256,
        description="Each step shifts the picture by a random number of pixels below this before the network sees it; "
        "it hides the network's grid. 0: never.",
    )
    smoothing: Literal["laplacian", "gaussian", "off"] = Field(
        "laplacian",
        description="How gradients are smoothed: 'laplacian' gives all sizes of detail the same strength, 'gaussian' "
        "damps fine detail.",
    )
    sigma: float = Field(
        1.0, gt=0, le=32, description="Standard deviation of the Gaussian, in pixels, for smoothing='gaussian'."
    )
    tile: int | None = Field(
        None,
        ge=64,
        description="Let the network see the picture in tiles of at most this many pixels a side. Memory for features "
        "is then that of one tile, and the picture is the same to rounding. None: the whole picture at once.",
    )

    @model_validator(mode="after")
    def _one_target(self) -> Options:
        if self.classes is not None and (self.layers is not None or self.channels is not None):
            raise ValueError("classes are outputs of the class head, so layers and channels must be left out")
        return self
