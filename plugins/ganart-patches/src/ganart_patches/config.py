"""What one call of the patch models may change. Torch-free."""

from __future__ import annotations

from typing import Any, Literal

from ganart_zoo.contract import Field, Settings, field_validator

__all__ = ["GeneratorOptions", "MatchingOptions", "StyleOptions"]


class MatchingOptions(Settings):
    """How a picture gets the patches of another one."""

    method: Literal["nearest", "sliced"] = Field(
        "nearest",
        description="'nearest' replaces each patch by its nearest one in the reference (GPNN): sharp and fast. "
        "'sliced' moves all patches until they are distributed as the reference's (GPDM): smoother, and freer.",
    )
    steps: int | None = Field(
        None, ge=1, le=10_000, description="Steps at each size. None: 10 for 'nearest', 120 for 'sliced'."
    )
    patch: int = Field(7, ge=3, le=31, description="Side of the patches, in pixels.")
    ratio: float = Field(0.75, ge=0.4, le=0.95, description="Side of each size, as a share of the next larger one.")
    reuse: float | None = Field(
        0.005,
        gt=0,
        description="For 'nearest': how freely a patch of the reference is used again. The smaller, the more of the "
        "reference appears in the picture. None: without limit.",
    )
    directions: int = Field(
        32, ge=1, le=1024, description="For 'sliced': random directions that patches are projected on, in each step."
    )
    learning_rate: float = Field(
        0.03, gt=0, le=1, description="For 'sliced': largest change of a pixel in one step, in 0..1."
    )

    polish: int = Field(
        3,
        ge=0,
        le=100,
        description="For 'sliced': steps of 'nearest' at the end, which take away the noise that it leaves. 0: none.",
    )

    @property
    def steps_each(self) -> int:
        """The steps at each size."""
        return self.steps if self.steps is not None else 10 if self.method == "nearest" else 120

    def total(self, sizes: int) -> int:
        """The steps for one picture of so many sizes."""
        return sizes * self.steps_each + (self.polish if self.method == "sliced" else 0)


class GeneratorOptions(MatchingOptions):
    """What one call of `patches` may change."""

    size: str | None = Field(
        None,
        pattern=r"^\d{1,5}(x\d{1,5})?$",
        description="Size of the new picture in pixels: WIDTHxHEIGHT, or the long side alone. None: the reference's.",
    )
    coarsest: int = Field(
        28,
        ge=8,
        le=512,
        description="Short side, in pixels, of the smallest size. The larger, the smaller the parts that are arranged "
        "anew.",
    )
    start: Literal["reference", "noise"] = Field(
        "reference",
        description="The smallest picture to begin with: the reference in the new shape and noise, or the reference's "
        "mean colour and noise.",
    )
    noise: float = Field(
        1.0,
        ge=0,
        le=4,
        description="Standard deviation of the noise in the smallest picture: how far the arrangement departs from the "
        "reference's. 0: not at all, for another shape of the same picture.",
    )

    @field_validator("size", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class StyleOptions(MatchingOptions):
    """What one call of `patch_style` may change. The result has the size of the photo."""

    alpha: float = Field(1.0, ge=0, le=1, description="Strength of the style: 0 returns the photo, 1 the full style.")
    recolour: bool = Field(
        True, description="Begin with the photo in the colours of the style, which keeps more of what it shows."
    )
    coarsest: int = Field(
        128,
        ge=8,
        le=2048,
        description="Short side, in pixels, of the smallest size. The smaller, the larger the shapes that change.",
    )
