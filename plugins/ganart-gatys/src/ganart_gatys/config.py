"""The settings of style transfer by optimisation: what is built, and what one call may change. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from ganart_zoo.contract import Field, Settings, field_validator, model_validator

__all__ = ["Config", "Options"]

_Share = Annotated[float, Field(ge=0)]


class Config(Settings):
    """Which features of the backbone define style and content, and the precision in which they are computed."""

    style_layers: tuple[str, ...] | None = Field(
        None, min_length=1, description="Backbone layers whose Gram matrices define the style. None: its style taps."
    )
    style_layer_weights: tuple[_Share, ...] | None = Field(
        None,
        min_length=1,
        description="One weight for each style layer; they are divided by their sum. None: equal weights.",
    )
    content_layers: tuple[str, ...] | None = Field(
        None, min_length=1, description="Backbone layers whose features define the content. None: its content taps."
    )
    content_layer_weights: tuple[_Share, ...] | None = Field(
        None,
        min_length=1,
        description="One weight for each content layer; they are divided by their sum. None: equal weights.",
    )
    compute: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Precision of the backbone; the picture, Gram matrices and losses stay float32. 'auto' is bfloat16 "
        "where the device multiplies that faster, unless the model was created with a dtype other than float32.",
    )

    @field_validator("style_layer_weights", "content_layer_weights")
    @classmethod
    def _weights_are_usable(cls, weights: tuple[_Share, ...] | None) -> tuple[float, ...] | None:
        if weights is not None and sum(weights) <= 0:
            raise ValueError("at least one layer weight must be above 0")
        return weights


class Options(Settings):
    """What one call may change. There is no `size`: the result has the size of the content."""

    steps: int = Field(
        150,
        ge=1,
        le=100_000,
        description="The largest number of gradient steps, over all scales together (see plateau); a scale twice as "
        "large gets three times the steps.",
    )
    alpha: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Interpolates the target between the photo's own statistics (0) and the style's (1).",
    )
    style_term: Literal["gram", "sliced", "both"] = Field(
        "gram",
        description="How style is compared: 'gram' by Gram matrices, 'sliced' by the whole distribution of features "
        "(sliced Wasserstein distance), 'both' by the mean of the two. Regions and tiles need 'gram'.",
    )
    preserve_colour: Literal["off", "luminance", "covariance", "histogram"] = Field(
        "off",
        description="Keep the photo's colours: 'luminance' paints in grey and restores the photo's colours afterwards; "
        "'covariance' and 'histogram' first give the style pictures the photo's colours, and keep more of the strokes.",
    )
    content_weight: float = Field(0.2, ge=0, le=1e6, description="Weight of the content loss: fidelity to the photo.")
    style_weight: float = Field(1.0, ge=0, le=1e6, description="Weight of the style loss.")
    tv_weight: float = Field(
        2.0,
        ge=0,
        le=1e6,
        description="Weight of the total variation: higher values give a smoother picture with fewer specks.",
    )
    temporal_weight: float = Field(
        500.0,
        ge=0,
        le=1e6,
        description="Of a frame of a clip: weight of its change from what was painted on the frame before, where that "
        "was moved to. Higher values flicker less.",
    )
    style_scale: float = Field(
        1.0,
        ge=0.1,
        le=4,
        description="Size of the strokes: at 1 the style picture is scaled down to the photo's area, never enlarged; "
        "at 2 it is used twice as large.",
    )
    scales: int | None = Field(
        None,
        ge=1,
        le=10,
        description="The number of sizes to paint at, each `scale_ratio` times the one before and the last that of the "
        "photo; never more than steps. None: as many as keep the long side of the first at 128 pixels or more.",
    )
    scale_ratio: float = Field(
        2.0, ge=1.1, le=4, description="How many times as long the sides of each size are as those of the one before."
    )
    paint_size: int | None = Field(
        None,
        ge=64,
        description="Paint at this long side at most, in pixels, and bring the result to the photo's size by the "
        "photo's own edges (guided filter): large pictures at the cost of small ones. None: paint at the photo's size.",
    )
    start: Literal["content", "noise"] = Field(
        "content", description="What to start from where the call gives no `init`."
    )
    optimizer: Literal["adam", "lbfgs"] = Field(
        "adam", description="Adam, or L-BFGS as in the paper; one step of either computes one gradient."
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=10,
        description="Step size; for Adam in units of the picture's range 0..1. None: 0.01 for Adam, 1 for L-BFGS.",
    )
    beta1: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="For Adam: how much the average of gradients keeps at each step. With 0.9, usual in training, a "
        "picture overshoots its goal and swings back.",
    )
    beta2: float = Field(
        0.9, ge=0, lt=1, description="For Adam: how much the average of squared gradients keeps at each step."
    )
    shifts: int = Field(
        16,
        ge=1,
        le=16,
        description="For Adam: in how many positions the network sees the picture in turn. 1 lowers the loss of that "
        "position in about half the steps, and leaves specks on the network's grid.",
    )
    carry: bool = Field(
        False, description="For Adam: keep the averages of gradients from each size to the next, where sizes agree."
    )
    average: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Return the mean of about this many last pictures in place of the one with the lowest loss. 0: the "
        "latter.",
    )
    plateau: float = Field(
        0.001,
        ge=0,
        lt=1,
        description="Finish a scale early when the mean loss of 20 steps is below that of the 20 steps before by less "
        "than this share of it. 0: never.",
    )

    tile: int | None = Field(
        None,
        ge=64,
        description="Let the network see the picture in tiles of at most this many pixels a side. Memory for features "
        "is then that of one tile, and the picture is the same to rounding. None: the whole picture at once.",
    )

    @model_validator(mode="after")
    def _something_to_do(self) -> Options:
        if self.content_weight == 0 and self.style_weight == 0:
            raise ValueError("content_weight and style_weight are both 0, so there is nothing to optimise; raise one")
        return self
