"""VGG16 and VGG19: stacks of 3x3 convolutions, the classic features for style transfer.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014,
https://arxiv.org/abs/1409.1556, configurations D and E.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from ganart_backbones.config import VggConfig
from ganart_backbones.photo import CLASSES, IMAGENET_MEAN, IMAGENET_STD, init_parameters
from ganart_backbones.torchvision_names import TorchvisionBackbone
from ganart_zoo.contract import LayerInfo
from ganart_zoo.perceptual import convolve_relu

__all__ = ["VGG16", "VGG19"]

_CHANNELS = (64, 128, 256, 512, 512)
_HIDDEN = 4096
_POOLED_SIDE = 7


class _VGG(TorchvisionBackbone):
    """Layers, for block b and convolution i: `conv{b}_{i}` before its ReLU, `relu{b}_{i}`, `pool{b}`; and `logits`.

    Args:
        config: The configuration.
    """

    convolutions: ClassVar[tuple[int, ...]]
    """The number of convolutions in each block."""

    def __init__(self, config: VggConfig) -> None:
        super().__init__(IMAGENET_MEAN, IMAGENET_STD, self._layers(config.classifier))
        self._pool = functional.max_pool2d if config.pooling == "max" else functional.avg_pool2d
        self.convs = nn.ModuleDict()
        channels = 3
        for name, info in self.layers.items():
            if name.startswith("conv"):
                self.convs[name] = nn.Conv2d(channels, info.channels, 3, padding=1)
                channels = info.channels
        self.classifier = nn.ModuleList()
        if config.classifier:
            widths = [channels * _POOLED_SIDE**2, _HIDDEN, _HIDDEN, CLASSES]
            self.classifier.extend(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths))
        init_parameters(self)

    @classmethod
    def _layers(cls, classifier: bool) -> dict[str, LayerInfo]:
        layers: dict[str, LayerInfo] = {}
        stride, reach = 1, 0
        for block, (channels, count) in enumerate(zip(_CHANNELS, cls.convolutions, strict=True), start=1):
            for index in range(1, count + 1):
                reach += stride
                layers[f"conv{block}_{index}"] = layers[f"relu{block}_{index}"] = LayerInfo(channels, stride, reach)
            stride *= 2
            layers[f"pool{block}"] = LayerInfo(channels, stride, reach)
        if classifier:
            layers["logits"] = LayerInfo(CLASSES, stride)
        return layers

    def steps(self, features: Tensor, kept: frozenset[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's name and output."""
        for name in self.layers:
            if name in kept and name.startswith("conv"):
                features = self.convs[name](features)
            elif name.startswith("conv"):
                features = convolve_relu(self.convs[name], features)  # of which nobody sees more than the ReLU
            elif name.startswith("relu"):
                if name.replace("relu", "conv") in kept:
                    features = functional.relu(features)
            elif name.startswith("pool"):
                features = self._pool(features, 2)
            else:
                features = self._classify(features)
            yield name, features

    def _classify(self, features: Tensor) -> Tensor:
        hidden = functional.adaptive_avg_pool2d(features, _POOLED_SIDE).flatten(1)
        first, second, last = self.classifier
        hidden = functional.relu(first(hidden), inplace=True)
        hidden = functional.relu(second(hidden), inplace=True)
        logits: Tensor = last(hidden)
        return logits

    def smallest_side(self, layer: str) -> int:
        """Return the layer's stride: each pooling halves the side, and one pixel must remain."""
        return self.layers[layer].stride

    def torchvision_modules(self) -> Mapping[str, str]:
        """Return our module for each of torchvision's, whose numbers count ReLUs, pools and dropouts too."""
        features = [name for name in self.layers if name != "logits"]
        modules = {f"features.{features.index(name)}": f"convs.{name}" for name in self.convs}
        return modules | {f"classifier.{3 * index}": f"classifier.{index}" for index in range(3)}


class VGG16(_VGG):
    """VGG16, configuration D."""

    convolutions = (2, 2, 3, 3, 3)
    taps = MappingProxyType(
        {
            # Style and content as in Gatys et al. 2016, critic as in the perceptual loss of Johnson et al. 2016.
            "style": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
            "content": ("relu4_2",),
            "dream": ("relu4_3",),
            "critic": ("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
        }
    )


class VGG19(_VGG):
    """VGG19, configuration E."""

    convolutions = (2, 2, 4, 4, 4)
    taps = MappingProxyType(
        {
            # Style and content as in Gatys et al. 2016; critic: the last layer of each block, as for VGG16.
            "style": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
            "content": ("relu4_2",),
            "dream": ("relu4_4",),
            "critic": ("relu1_2", "relu2_2", "relu3_4", "relu4_4"),
        }
    )
