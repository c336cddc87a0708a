"""The feature maps that style losses meet: taps of two backbones for a picture of 512 x 512."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """One sample's features: `channels` maps of `side` x `side`."""

    group: str
    channels: int
    side: int

    def __str__(self) -> str:
        return f"{self.channels}x{self.side}x{self.side}"


VGG19 = [Shape("VGG-19", *tap) for tap in ((64, 512), (128, 256), (256, 128), (512, 64), (512, 32))]

# The stem and blocks 0, 1, 4, 6 and 8; blocks 2 and 3 repeat shapes.
EFFICIENTNET_LITE0 = [
    Shape("EfficientNet-lite0", *tap) for tap in ((32, 256), (16, 256), (24, 128), (40, 64), (80, 32), (112, 32))
]

TINY = [Shape("tiny", *tap) for tap in ((3, 8), (3, 64), (64, 8))]
