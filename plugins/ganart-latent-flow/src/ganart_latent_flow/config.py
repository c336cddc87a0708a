"""What can be configured of the model, and what one call may change. Torch-free."""

from __future__ import annotations

from typing import Literal

from ganart_zoo.contract import Field, Settings, model_validator

__all__ = ["Config", "Options"]

_STRIDE = 8


class Config(Settings):
    """Settings of the model: autoencoder, text encoder, transformer and upscaler."""

    # What the schemas say of these four makes any choice fit any other; the checks below allow more.
    resolution: int = Field(
        64, ge=16, le=256, description="Side of the pictures, in pixels.", json_schema_extra={"multipleOf": 32}
    )
    latent_channels: int = Field(8, ge=1, description="Numbers that stand for 8x8 pixels.")
    encoder_widths: tuple[int, int, int] = Field(
        (32, 64, 112), description="Channels of the encoder at a half, a quarter and an eighth of the side."
    )
    decoder_widths: tuple[int, int, int] = Field(
        (144, 96, 56), description="Channels of the decoder at an eighth, a quarter and a half of the side."
    )
    decoder_blocks: tuple[int, int, int] = Field((3, 2, 2), description="Residual blocks of the decoder at each.")
    buckets: int = Field(8192, ge=1, description="Rows of the table that hashed words and their parts share.")
    word_width: int = Field(96, ge=1, description="Length of a word's vector in that table.")
    words_placed: int = Field(16, ge=1, description="Words of a prompt whose order counts.")
    text_layers: int = Field(1, ge=0, description="Transformer blocks that read the prompt.")
    patch: int = Field(
        4,
        ge=1,
        description="Latents along each side of a transformer token.",
        json_schema_extra={"enum": [1, 2, 4]},
    )
    width: int = Field(
        256, ge=8, description="Channels of the transformer's tokens.", json_schema_extra={"multipleOf": 32}
    )
    layers: int = Field(4, ge=1, description="Blocks of the transformer.")
    heads: int = Field(4, ge=1, description="Heads of its attention.", json_schema_extra={"enum": [1, 2, 4, 8, 16, 32]})
    expansion: float = Field(3.0, gt=0, description="Hidden units of a block's perceptron per channel.")
    draft: int = Field(1024, ge=1, description="Hidden units of the perceptron that drafts latents from the text.")
    upscaler_width: int = Field(48, ge=1, description="Channels of the network that enlarges pictures four times.")
    upscaler_blocks: int = Field(4, ge=0, description="Residual blocks of that network.")

    @model_validator(mode="after")
    def _sides_divide(self) -> Config:
        if self.resolution % (_STRIDE * self.patch):
            raise ValueError(
                f"resolution is {self.resolution}, expected a multiple of {_STRIDE * self.patch} (8 x patch)"
            )
        if self.width % self.heads:
            raise ValueError(f"width is {self.width}, expected a multiple of heads, which is {self.heads}")
        return self


class Options(Settings):
    """What one call may change."""

    steps: int = Field(16, ge=1, le=1000, description="Steps from noise to picture.")
    guidance: float = Field(
        2.0, ge=0, le=50, description="How strongly the prompt is followed: 1 samples plainly, more exaggerates."
    )
    negative_prompt: str = Field("", description="What the picture should not show.")
    sampler: Literal["euler", "heun"] = Field(
        "euler", description="euler takes one evaluation per step; heun takes two and is more exact."
    )
    size: int | None = Field(
        None, ge=16, le=2048, description="Side of the picture in pixels; more than the model's own is upscaled."
    )
    strength: float = Field(
        0.6, gt=0, le=1, description="How much of a given picture may change, from a little to all of it."
    )
