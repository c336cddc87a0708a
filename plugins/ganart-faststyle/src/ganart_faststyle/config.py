"""The settings of the feed-forward models: what is built, and what one call may change. Torch-free."""

from __future__ import annotations

from typing import Literal

from ganart_zoo.contract import Field, Settings, field_validator

__all__ = ["JohnsonConfig", "MultiStyleConfig", "Options"]


class MultiStyleConfig(Settings):
    """The shape of the multi-style network. The defaults are those of the published 26-style network."""

    style_names: tuple[str, ...] = Field(
        (),
        max_length=1024,
        description="Names of the styles. Empty: the names and the number that the weights file holds; "
        "an untrained network then has one style, 'style00'.",
    )
    channels: tuple[int, int, int] = Field(
        (32, 32, 32), description="Channels of the three convolutions that reduce the photo to a quarter of its side."
    )
    blocks: int = Field(6, ge=0, le=32, description="Residual blocks at a quarter of the photo's side.")
    expand: tuple[int, int] = Field(
        (8, 4), description="Channels of the two convolutions that enlarge the picture to the photo's side again."
    )

    @field_validator("style_names")
    @classmethod
    def _names_are_distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names) or not all(name.strip() for name in names):
            raise ValueError("style_names must be distinct and not empty")
        return names

    @field_validator("channels", "expand")
    @classmethod
    def _channels_are_usable(cls, channels: tuple[int, ...]) -> tuple[int, ...]:
        if not all(1 <= number <= 512 for number in channels):
            raise ValueError("each number of channels must be from 1 to 512")
        return channels


class JohnsonConfig(Settings):
    """The shape of the single-style network. The defaults are those of the published networks."""

    channels: tuple[int, int, int] = Field(
        (32, 64, 128), description="Channels of the three convolutions that reduce the photo to a quarter of its side."
    )
    blocks: int = Field(5, ge=0, le=32, description="Residual blocks at a quarter of the photo's side.")

    @field_validator("channels")
    @classmethod
    def _channels_are_usable(cls, channels: tuple[int, ...]) -> tuple[int, ...]:
        if not all(1 <= number <= 512 for number in channels):
            raise ValueError("each number of channels must be from 1 to 512")
        return channels


class Options(Settings):
    """What one call may change. The result has the size of the photo."""

    alpha: float = Field(1.0, ge=0, le=1, description="Strength of the style: 0 returns the photo, 1 the full style.")
    preserve_colour: Literal["off", "luminance", "histogram"] = Field(
        "off",
        description="Keep the photo's colours: 'luminance' takes only the brightness from the styled picture; "
        "'histogram' gives the styled picture the photo's distribution of each colour.",
    )
