"""What can be configured of the critics. Torch-free."""

from __future__ import annotations

from typing import Literal

from ganart_zoo.contract import Field, Settings

__all__ = ["CriticConfig", "ReferenceConfig", "ReportCriticConfig"]


class _TwoTowersConfig(Settings):
    """Settings that both text critics have."""

    dimension: int = Field(128, ge=2, description="Length of the vectors in which pictures and texts are compared.")
    buckets: int = Field(16384, ge=1, description="Rows of the table of hashed word features.")
    word_width: int = Field(64, ge=1, description="Length of a row of that table.")
    bank: int = Field(512, ge=1, description="Pictures, and as many texts, that scores are calibrated against.")
    vocabulary: int = Field(
        32768, ge=1, description="Bytes set aside for the list of words that the critic was trained on."
    )


class CriticConfig(_TwoTowersConfig):
    """Settings of the text critic."""

    resolution: int = Field(64, ge=16, multiple_of=8, description="Side in pixels that pictures are scaled to.")
    width: int = Field(128, ge=16, multiple_of=16, description="Channels of the deepest picture features.")
    text_width: int = Field(160, ge=8, multiple_of=8, description="Channels of the text transformer.")
    text_layers: int = Field(2, ge=1, description="Layers of the text transformer.")


class ReportCriticConfig(_TwoTowersConfig):
    """Settings of the critic for reports."""

    resolution: int = Field(64, ge=32, description="Side in pixels that pictures are scaled to for the backbone.")
    width: int = Field(192, ge=8, multiple_of=8, description="Channels of both towers.")


class ReferenceConfig(Settings):
    """Settings of the reference critic."""

    resolution: int = Field(128, ge=32, description="Side in pixels that pictures are scaled to for the backbone.")
    layers: tuple[str, ...] | None = Field(
        None, description="Layers of the backbone that are compared; null: those it names for critics."
    )
    compare: Literal["layout", "content"] = Field(
        "layout",
        description="layout: features place by place, so that the picture has to match as a whole; content: their mean "
        "over the picture, so that the same things count wherever they are.",
    )
