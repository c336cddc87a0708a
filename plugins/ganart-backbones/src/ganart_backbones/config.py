"""The configuration of each backbone. Torch-free."""

from __future__ import annotations

from typing import Literal

from ganart_zoo.contract import Field, Settings

__all__ = ["Config", "VggConfig"]


class Config(Settings):
    """Settings of EfficientNet-Lite0, SqueezeNet and Inception."""

    classifier: bool = Field(
        True,
        description="Build the ImageNet class head, the layer 'logits'. Without it, weights files may lack the head.",
    )


class VggConfig(Settings):
    """Settings of the VGG networks."""

    classifier: bool = Field(
        False,
        description="Build the ImageNet class head, the layer 'logits': 124 million more parameters, 0.5 GB in "
        "float32. Without it, weights files may lack the head.",
    )
    pooling: Literal["max", "average"] = Field(
        "max",
        description="How the five pooling layers pool. The weights were trained with max; average pooling passes "
        "gradients to every pixel, which Gatys et al. found to look slightly better.",
    )
