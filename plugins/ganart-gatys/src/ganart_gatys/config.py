"""What can be set of style transfer by optimisation: what is built, and what one call may change. Torch-free."""

from __future__ import annotations

from typing import Literal

from ganart_zoo.contract import Field, Settings, field_validator, model_validator

__all__ = ["Config", "Options"]


class Config(Settings):
    """Which features of the backbone define style and content, and in what precision they are computed."""

    style_layers: tuple[str, ...] | None = Field(
        None, min_length=1, description="Backbone layers whose Gram matrices are the style. None: its style taps."
    )
    style_layer_weights: tuple[float, ...] | None = Field(
        None, min_length=1, description="A weight for each style layer; divided by their sum. None: all alike."
    )
    content_layers: tuple[str, ...] | None = Field(
        None, min_length=1, description="Backbone layers whose features are the content. None: its content taps."
    )
    content_layer_weights: tuple[float, ...] | None = Field(
        None, min_length=1, description="A weight for each content layer; divided by their sum. None: all alike."
    )
    compute: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Precision of the backbone; picture, Gram matrices and losses stay float32. 'auto' is bfloat16 "
        "where the device multiplies it faster, unless the model was created with another dtype than float32.",
    )

    @field_validator("style_layer_weights", "content_layer_weights")
    @classmethod
    def _weights_are_usable(cls, weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if weights is not None and (min(weights) < 0 or sum(weights) <= 0):
            raise ValueError("layer weights must not be negative, and one must be above 0")
        return weights


class Options(Settings):
    """What one call may change. The picture comes out in the size it goes in: there is no `size` here."""

    steps: int = Field(
        300, ge=1, le=100_000, description="Gradient steps over all scales together, at most (see plateau)."
    )
    alpha: float = Field(
        1.0, ge=0, le=1, description="How far to go from the photo's own statistics (0) to the style's (1)."
    )
    preserve_colour: Literal["off", "luminance", "covariance", "histogram"] = Field(
        "off",
        description="Keep the photo's colours: 'luminance' paints in grey and takes the colours back from the photo; "
        "'covariance' and 'histogram' first give the style pictures the photo's colours, and keep more of the strokes.",
    )
    content_weight: float = Field(0.2, ge=0, le=1e6, description="Weight of the content loss: fidelity to the photo.")
    style_weight: float = Field(1.0, ge=0, le=1e6, description="Weight of the style loss.")
    tv_weight: float = Field(2.0, ge=0, le=1e6, description="Weight of the total variation: smoothness, fewer specks.")
    style_scale: float = Field(
        1.0,
        ge=0.1,
        le=4,
        description="Size of the strokes: at 1 the style picture is scaled to the photo's area, but never enlarged; "
        "at 2 it is taken twice as large.",
    )
    scales: int | None = Field(
        None,
        ge=1,
        le=10,
        description="Sizes to paint at, each twice the one before, ending with the photo's own; never more than steps. "
        "None: as many as keep the long side of the first at 128 pixels or more.",
    )
    start: Literal["content", "noise"] = Field(
        "content", description="The picture to begin with, where the call gives no `init`."
    )
    optimizer: Literal["adam", "lbfgs"] = Field(
        "adam", description="Adam; or L-BFGS, as the paper, where one step is one gradient too."
    )
    learning_rate: float | None = Field(
        None, gt=0, le=10, description="Step size, in the picture's units of 0..1 for Adam. None: 0.01; 1 for L-BFGS."
    )
    plateau: float = Field(
        0.001,
        ge=0,
        lt=1,
        description="Leave a scale early when the mean loss of 20 steps is below that of the 20 before by less than "
        "this share of it; 0: never.",
    )

    @model_validator(mode="after")
    def _something_to_do(self) -> Options:
        if self.content_weight == 0 and self.style_weight == 0:
            raise ValueError("content_weight and style_weight are both 0, so there is nothing to paint; raise one")
        return self
