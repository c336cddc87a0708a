"""SqueezeNet 1.1: 1.2 million parameters, and features that work well for style and perceptual losses.

Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016,
https://arxiv.org/abs/1602.07360; version 1.1, its authors' later release, starts with a 3x3 convolution and pools
earlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_backbones.config import Config
from ganart_backbones.photo import CLASSES, IMAGENET_MEAN, IMAGENET_STD, init_parameters
from ganart_backbones.torchvision_names import TorchvisionBackbone
from ganart_zoo.contract import LayerInfo

__all__ = ["SqueezeNet"]

_STEM_CHANNELS = 64
_FIRES = {  # name: squeezed channels, expanded channels
    "fire2": (16, 128),
    "fire3": (16, 128),
    "fire4": (32, 256),
    "fire5": (32, 256),
    "fire6": (48, 384),
    "fire7": (48, 384),
    "fire8": (64, 512),
    "fire9": (64, 512),
}
_POOLS = {"pool1": "relu1", "pool3": "fire3", "pool5": "fire5"}
"""The layer that each pool follows."""


class _Fire(nn.Module):
    """Squeeze by 1x1, then expand: half the channels by 1x1, half by 3x3."""

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded // 2, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded // 2, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        squeezed = functional.relu(self.squeeze(features), inplace=True)
        return functional.relu(torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1), inplace=True)


def _layers(classifier: bool) -> dict[str, LayerInfo]:
    layers: dict[str, LayerInfo] = {}
    stride, reach = 1, 0
    for name, channels in [("relu1", _STEM_CHANNELS), *((name, fire[1]) for name, fire in _FIRES.items())]:
        reach += stride  # every window is 3 wide
        stride = max(2, stride)  # the first one moves by 2
        layers[name] = LayerInfo(channels, stride, reach)
        for pool, after in _POOLS.items():
            if after == name:
                reach += stride
                stride *= 2
                layers[pool] = LayerInfo(channels, stride, reach)
    if classifier:
        layers["logits"] = LayerInfo(CLASSES, stride)
    return layers


class SqueezeNet(TorchvisionBackbone):
    """SqueezeNet 1.1. Layers: `relu1`, `pool1`, `fire2`, `fire3`, `pool3`, ... `fire9`, all after their ReLU; `logits`.

    The first convolution and the pools are not padded, so sides shrink by a little more than the stride.

    Args:
        config: The configuration.
    """

    taps = MappingProxyType(
        {
            "style": ("relu1", "fire2", "fire3", "fire4", "fire5", "fire6"),
            "content": ("fire6",),
            "dream": ("fire6",),
            "critic": ("fire3", "fire5", "fire9"),  # the last of each scale
        }
    )

    def __init__(self, config: Config) -> None:
        super().__init__(IMAGENET_MEAN, IMAGENET_STD, _layers(config.classifier))
        self.stem = nn.Conv2d(3, _STEM_CHANNELS, 3, stride=2)
        self.fires = nn.ModuleDict()
        channels = _STEM_CHANNELS
        for name, (squeezed, expanded) in _FIRES.items():
            self.fires[name] = _Fire(channels, squeezed, expanded)
            channels = expanded
        self.classifier = nn.Conv2d(channels, CLASSES, 1) if config.classifier else None
        init_parameters(self)

    def steps(self, features: Tensor, kept: frozenset[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's name and output."""
        for name in self.layers:
            if name == "relu1":
                features = functional.relu(self.stem(features), inplace=True)
            elif name in _POOLS:
                features = functional.max_pool2d(features, 3, stride=2, ceil_mode=True)
            elif name in _FIRES:
                features = self.fires[name](features)
            elif self.classifier is not None:
                features = functional.relu(self.classifier(features), inplace=True).mean(dim=(2, 3))
            yield name, features

    def smallest_side(self, layer: str) -> int:
        """Return the layer's stride plus 1: a window of 3 needs 3 pixels, or 2 where the pool rounds up."""
        return self.layers[layer].stride + 1

    def torchvision_modules(self) -> Mapping[str, str]:
        """Return our module for each of torchvision's, whose numbers count ReLUs, pools and dropouts too."""
        modules = {"features.0": "stem", "classifier.1": "classifier"}
        names = [name for name in self.layers if name != "logits"]
        for name in _FIRES:
            # torchvision counts the first convolution and its ReLU separately, hence one more.
            modules |= {
                f"features.{names.index(name) + 1}.{part}": f"fires.{name}.{part}"
                for part in ("squeeze", "expand1x1", "expand3x3")
            }
        return modules
