"""The settings of the feed-forward models: what is built, and what one call may change. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from ganart_zoo.contract import Field, Settings, field_validator, model_validator

__all__ = ["AdaINConfig", "AdaINOptions", "JohnsonConfig", "MultiStyleConfig", "Options", "TiledOptions"]

_Channels = Annotated[int, Field(ge=1, le=512)]
_Blocks = Annotated[int, Field(ge=0, le=32)]


class MultiStyleConfig(Settings):
    """The shape of the multi-style network. The defaults are those of the published 26-style network."""

    style_names: tuple[str, ...] = Field(
        (),
        max_length=1024,
        description="Names of the styles. Empty: the names and the number that the weights file holds; "
        "an untrained network then has one style, 'style00'.",
    )
    channels: tuple[_Channels, _Channels, _Channels] = Field(
        (32, 32, 32), description="Channels of the three convolutions that reduce the photo to a quarter of its side."
    )
    blocks: int = Field(6, ge=0, le=32, description="Residual blocks at a quarter of the photo's side.")
    expand: tuple[_Channels, _Channels] = Field(
        (8, 4), description="Channels of the two convolutions that enlarge the picture to the photo's side again."
    )
    skips: bool = Field(
        False,
        description="Add what the first two convolutions found to what the enlarging ones make at the same size, which "
        "keeps the photo's detail. Then expand is the first two of channels, in reverse.",
    )

    @field_validator("style_names")
    @classmethod
    def _names_are_distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names) or not all(name.strip() for name in names):
            raise ValueError("style_names must be distinct and not empty")
        return names

    @model_validator(mode="after")
    def _skips_fit(self) -> MultiStyleConfig:
        wanted = (self.channels[1], self.channels[0])
        if self.skips and self.expand != wanted:
            raise ValueError(f"expand is {self.expand}, and with skips and these channels it must be {wanted}")
        return self


class JohnsonConfig(Settings):
    """The shape of the single-style network. The defaults are those of the published networks."""

    channels: tuple[_Channels, _Channels, _Channels] = Field(
        (32, 64, 128), description="Channels of the three convolutions that reduce the photo to a quarter of its side."
    )
    blocks: int = Field(5, ge=0, le=32, description="Residual blocks at a quarter of the photo's side.")


class AdaINConfig(Settings):
    """The shape of the network for any style."""

    layers: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Backbone layers whose features take on the style's statistics, one for each of the strides 2, 4 "
        "and 8, or for the first of these. None: the deepest style tap of each stride.",
    )
    widths: tuple[_Channels, _Channels, _Channels] = Field(
        (64, 48, 32), description="Channels of the decoder at the strides 8, 4 and 2."
    )
    blocks: tuple[_Blocks, _Blocks, _Blocks] = Field(
        (2, 1, 0), description="Residual blocks of the decoder at the strides 8, 4 and 2."
    )
    last: int = Field(16, ge=1, le=512, description="Channels at the photo's size, before the picture.")
    code: int = Field(64, ge=1, le=4096, description="Numbers that describe a style to the decoder's layers.")


class Options(Settings):
    """What one call may change. The result has the size of the photo."""

    alpha: float = Field(1.0, ge=0, le=1, description="Strength of the style: 0 returns the photo, 1 the full style.")
    preserve_colour: Literal["off", "luminance", "histogram"] = Field(
        "off",
        description="Keep the photo's colours: 'luminance' takes only the brightness from the styled picture; "
        "'histogram' gives the styled picture the photo's distribution of each colour.",
    )


class TiledOptions(Options):
    """What one call of `multistyle` or `johnson` may change."""

    tile: int | None = Field(
        None,
        ge=64,
        description="Restyle the photo in tiles of at most this many pixels a side, without seams. Memory for features "
        "is then that of one tile. None: the whole photo at once.",
    )
    tile_statistics: Literal["reduced", "exact"] = Field(
        "reduced",
        description="Where the norms of tiles take the statistics of the whole photo from: 'reduced' is a copy of "
        "about a megapixel, close and in one pass; 'exact' is the photo itself, in one more pass for each norm.",
    )


class AdaINOptions(Options):
    """What one call of `adain` may change."""

    style_scale: float = Field(
        1.0,
        ge=0.1,
        le=4,
        description="Size of the strokes: at 1 the style picture is scaled down to the photo's area, never enlarged; "
        "at 2 it is used twice as large.",
    )
