"""Reading, writing, scaling and recolouring pictures, and the record of how they were made.

Names are loaded when they are first used, so that records can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganart_zoo.contract.lazy import lazy_names

if TYPE_CHECKING:
    from ganart_zoo.imaging.colour import (
        linear_to_srgb,
        match_covariance,
        match_histogram,
        rgb_to_yiq,
        srgb_to_linear,
        yiq_to_rgb,
    )
    from ganart_zoo.imaging.decode import MAX_PIXELS
    from ganart_zoo.imaging.grid import to_grid
    from ganart_zoo.imaging.guided import guided_upsample
    from ganart_zoo.imaging.images import from_pil, load, resize, save, to_pil
    from ganart_zoo.imaging.record import InputFile, Record, compare_pixels, find_inputs, read_record

_COLOUR = (
    "linear_to_srgb",
    "match_covariance",
    "match_histogram",
    "rgb_to_yiq",
    "srgb_to_linear",
    "yiq_to_rgb",
)
_LAZY = {
    **dict.fromkeys(_COLOUR, "colour"),
    "MAX_PIXELS": "decode",
    "to_grid": "grid",
    "guided_upsample": "guided",
    **dict.fromkeys(("from_pil", "load", "resize", "save", "to_pil"), "images"),
    **dict.fromkeys(("InputFile", "Record", "compare_pixels", "find_inputs", "read_record"), "record"),
}

__all__ = [
    "MAX_PIXELS",
    "InputFile",
    "Record",
    "compare_pixels",
    "find_inputs",
    "from_pil",
    "guided_upsample",
    "linear_to_srgb",
    "load",
    "match_covariance",
    "match_histogram",
    "read_record",
    "resize",
    "rgb_to_yiq",
    "save",
    "srgb_to_linear",
    "to_grid",
    "to_pil",
    "yiq_to_rgb",
]


__getattr__ = lazy_names(__name__, _LAZY)


def __dir__() -> list[str]:
    return sorted(__all__)
