"""Inception v3: torchvision's version, and the one on which the Fréchet Inception distance was defined.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015, https://arxiv.org/abs/1512.00567. The
variant of the distance (Heusel et al. 2017, https://arxiv.org/abs/1706.08500) is TensorFlow's release of 2015-12-05.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_backbones.config import Config
from ganart_backbones.photo import CLASSES, PhotoBackbone, folded_batch_norm, init_parameters
from ganart_zoo.contract import LayerInfo

__all__ = ["FidInception", "InceptionV3"]

_BATCH_NORM_EPSILON = 1e-3


class _Layer(NamedTuple):
    """A convolution by its published name. It is padded so as to keep the side, unless it has a stride."""

    name: str
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


Chain = tuple[tuple[_Layer, ...], ...]
"""Steps of a branch; a step of two layers has both take its input, side by side."""

_WIDE, _HIGH, _SQUARE = (1, 7), (7, 1), (3, 3)
_SINGLE = _Layer("branch1x1", 64)
_DOUBLE = (_Layer("branch3x3dbl_1", 64),), (_Layer("branch3x3dbl_2", 96, _SQUARE),)


class _Kind(NamedTuple):
    """A block: its branches, and what its pooling branch ends with."""

    chains: tuple[Chain, ...]
    pooled: int | None = None
    """Channels that the pooled features are brought to; None: they are taken as they are, at half the side."""


def _fives(pooled: int) -> _Kind:
    """Figure 5 of the paper, but with one 5×5 convolution kept."""
    fives = (_Layer("branch5x5_1", 48),), (_Layer("branch5x5_2", 64, (5, 5)),)
    return _Kind((((_SINGLE,),), fives, (*_DOUBLE, (_Layer("branch3x3dbl_3", 96, _SQUARE),))), pooled)


def _sevens(width: int) -> _Kind:
    """Figure 6: 7×7 convolutions as pairs of 1×7 and 7×1."""
    sevens = (
        (_Layer("branch7x7_1", width),),
        (_Layer("branch7x7_2", width, _WIDE),),
        (_Layer("branch7x7_3", 192, _HIGH),),
    )
    double = (
        (_Layer("branch7x7dbl_1", width),),
        (_Layer("branch7x7dbl_2", width, _HIGH),),
        (_Layer("branch7x7dbl_3", width, _WIDE),),
        (_Layer("branch7x7dbl_4", width, _HIGH),),
        (_Layer("branch7x7dbl_5", 192, _WIDE),),
    )
    return _Kind((((_Layer("branch1x1", 192),),), sevens, double), 192)


_FORKS = _Kind(  # figure 7: the last convolutions are a wide and a high one in parallel
    (
        ((_Layer("branch1x1", 320),),),
        (
            (_Layer("branch3x3_1", 384),),
            (_Layer("branch3x3_2a", 384, (1, 3)), _Layer("branch3x3_2b", 384, (3, 1))),
        ),
        (
            (_Layer("branch3x3dbl_1", 448),),
            (_Layer("branch3x3dbl_2", 384, _SQUARE),),
            (_Layer("branch3x3dbl_3a", 384, (1, 3)), _Layer("branch3x3dbl_3b", 384, (3, 1))),
        ),
    ),
    192,
)
_TO_17 = _Kind((((_Layer("branch3x3", 384, _SQUARE, 2),),), (*_DOUBLE, (_Layer("branch3x3dbl_3", 96, _SQUARE, 2),))))
_TO_8 = _Kind(
    (
        ((_Layer("branch3x3_1", 192),), (_Layer("branch3x3_2", 320, _SQUARE, 2),)),
        (
            (_Layer("branch7x7x3_1", 192),),
            (_Layer("branch7x7x3_2", 192, _WIDE),),
            (_Layer("branch7x7x3_3", 192, _HIGH),),
            (_Layer("branch7x7x3_4", 192, _SQUARE, 2),),
        ),
    )
)
_STEM: Mapping[str, tuple[str, int, int, int, int]] = MappingProxyType(
    {  # layer: published name, channels, kernel, stride, padding
        "conv1a": ("Conv2d_1a_3x3", 32, 3, 2, 0),
        "conv2a": ("Conv2d_2a_3x3", 32, 3, 1, 0),
        "conv2b": ("Conv2d_2b_3x3", 64, 3, 1, 1),
        "conv3b": ("Conv2d_3b_1x1", 80, 1, 1, 0),
        "conv4a": ("Conv2d_4a_3x3", 192, 3, 1, 0),
    }
)
_POOLS = MappingProxyType({"pool1": "conv2b", "pool2": "conv4a"})
"""The layer that each pool follows."""
_MIXED = MappingProxyType(
    {
        "mixed5b": _fives(32),
        "mixed5c": _fives(64),
        "mixed5d": _fives(64),
        "mixed6a": _TO_17,
        "mixed6b": _sevens(128),
        "mixed6c": _sevens(160),
        "mixed6d": _sevens(160),
        "mixed6e": _sevens(192),
        "mixed7a": _TO_8,
        "mixed7b": _FORKS,
        "mixed7c": _FORKS,
    }
)
_UNPADDED = MappingProxyType(
    {"conv1a": 2, "conv2a": 1, "pool1": 2, "conv4a": 1, "pool2": 2, "mixed6a": 2, "mixed7a": 2}
)
"""The stride of the layers whose windows of 3 stay inside the picture."""
_REACH = MappingProxyType(
    {"conv1a": 1, "conv2a": 2, "conv2b": 1, "conv3b": 0, "conv4a": 2, "pool1": 1, "pool2": 1}
    | dict.fromkeys(("mixed5b", "mixed5c", "mixed5d", "mixed6a", "mixed7b", "mixed7c"), 2)
    | dict.fromkeys(("mixed6b", "mixed6c", "mixed6d", "mixed6e"), 6)
    | {"mixed7a": 4}
)
"""How many cells of the layer before it each layer looks at beyond its own, on the side where there are more."""


class _Convolution(nn.Conv2d):
    """A convolution and its ReLU. Batch normalisation is folded into it when weights are loaded."""

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(super().forward(features), inplace=True)


class _Mixed(nn.Module):
    """Parallel branches, the last of which pools; their outputs are concatenated."""

    def __init__(self, inputs: int, kind: _Kind, pool: str) -> None:
        super().__init__()
        self._kind, self._pool = kind, pool
        self.outputs = inputs if kind.pooled is None else kind.pooled
        self.layers = nn.ModuleDict()
        for chain in kind.chains:
            channels = inputs
            for step in chain:
                for name, outputs, kernel, stride in step:
                    padding = (0, 0) if stride > 1 else (kernel[0] // 2, kernel[1] // 2)
                    self.layers[name] = _Convolution(channels, outputs, kernel, stride, padding)
                channels = sum(layer.outputs for layer in step)
            self.outputs += channels
        if kind.pooled is not None:
            self.layers["branch_pool"] = _Convolution(inputs, kind.pooled, 1)

    def forward(self, features: Tensor) -> Tensor:
        branches = []
        for chain in self._kind.chains:
            branch = features
            for step in chain:
                sides = [self.layers[layer.name](branch) for layer in step]
                branch = torch.cat(sides, dim=1) if len(sides) > 1 else sides[0]
            branches.append(branch)
        return torch.cat([*branches, self._pooled(features)], dim=1)

    def _pooled(self, features: Tensor) -> Tensor:
        if self._kind.pooled is None:
            return functional.max_pool2d(features, 3, stride=2)
        if self._pool == "max":
            pooled = functional.max_pool2d(features, 3, stride=1, padding=1)
        else:
            zeros = self._pool == "average with zeros"
            pooled = functional.avg_pool2d(features, 3, stride=1, padding=1, count_include_pad=zeros)
        reduced: Tensor = self.layers["branch_pool"](pooled)
        return reduced


class InceptionV3(PhotoBackbone):
    """Inception v3.

    Layers: `conv1a`, `conv2a`, `conv2b`, `pool1`, `conv3b`, `conv4a`, `pool2`, `mixed5b` ... `mixed5d`, `mixed6a` ...
    `mixed6e`, `mixed7a` ... `mixed7c`, all after their ReLU; `logits`. The mean of `mixed7c` over the picture is often
    called pool3.

    The first convolutions and the pools are not padded, so sides are up to four pixels short of `side / stride`: 299
    pixels become 149, 73, 35, 17 and 8.

    Args:
        config: The configuration.
    """

    classes: ClassVar[int] = CLASSES
    pools: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """The pooling of those blocks whose pooling branch is not a mean that counts the zeros of the border."""
    taps = MappingProxyType(
        {
            "style": ("conv2b", "conv4a", "mixed5d", "mixed6e"),
            "content": ("mixed5d",),
            "dream": ("mixed6b",),
            "critic": ("conv4a", "mixed5d", "mixed6e", "mixed7c"),  # the last of each scale
        }
    )

    def __init__(self, config: Config) -> None:
        order = [*_STEM, *_MIXED]
        for pool, after in _POOLS.items():
            order.insert(order.index(after) + 1, pool)
        stem, mixed, layers = nn.ModuleDict(), nn.ModuleDict(), dict[str, LayerInfo]()
        channels, stride, reach = 3, 1, 0
        for name in order:
            if name in _STEM:
                _, outputs, kernel, step, padding = _STEM[name]
                stem[name] = _Convolution(channels, outputs, kernel, step, padding)
                channels = outputs
            elif name in _MIXED:
                block = _Mixed(channels, _MIXED[name], self.pools.get(name, "average with zeros"))
                mixed[name], channels = block, block.outputs
            reach += _REACH[name] * stride
            stride *= _UNPADDED.get(name, 1)
            layers[name] = LayerInfo(channels, stride, reach)
        if config.classifier:
            layers["logits"] = LayerInfo(self.classes, stride)
        super().__init__(mean=[0.5] * 3, std=[0.5] * 3, layers=layers)
        self.stem, self.mixed = stem, mixed
        self.classifier = nn.Linear(channels, self.classes) if config.classifier else None
        init_parameters(self)

    def steps(self, features: Tensor, kept: frozenset[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's name and output."""
        for name in self.layers:
            if name in _STEM:
                features = self.stem[name](features)
            elif name in _POOLS:
                features = functional.max_pool2d(features, 3, stride=2)
            elif name in _MIXED:
                features = self.mixed[name](features)
            elif self.classifier is not None:
                features = self.classifier(features.mean(dim=(2, 3)))
            yield name, features

    def smallest_side(self, layer: str) -> int:
        """Return the side of a picture for which one pixel of the layer remains: 3 to 75."""
        names = list(self.layers)
        side = 1
        for name in reversed(names[: names.index(layer) + 1]):
            if name in _UNPADDED:
                side = (side - 1) * _UNPADDED[name] + 3
        return side

    def published_names(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return torchvision's names; a file may also hold the auxiliary classifier, which only training uses."""
        required, optional = set(), set()
        for name in self._published_convolutions().values():
            required.add(f"{name}.conv.weight")
            required.update(f"{name}.bn.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
            optional.add(f"{name}.bn.num_batches_tracked")
        (optional if self.classifier is None else required).update(("fc.weight", "fc.bias"))
        for name in ("AuxLogits.conv0", "AuxLogits.conv1"):
            optional.add(f"{name}.conv.weight")
            optional.update(
                f"{name}.bn.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
            )
        optional.update(("AuxLogits.fc.weight", "AuxLogits.fc.bias"))
        return frozenset(required), frozenset(optional)

    def from_published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the own state, each batch normalisation folded into its convolution."""
        own: dict[str, Tensor] = {}
        for name, published in self._published_convolutions().items():
            own[f"{name}.weight"], own[f"{name}.bias"] = folded_batch_norm(
                tensors, f"{published}.conv", f"{published}.bn", _BATCH_NORM_EPSILON
            )
        if self.classifier is not None:
            own |= {f"classifier.{part}": tensors[f"fc.{part}"] for part in ("weight", "bias")}
        return own

    def _published_convolutions(self) -> dict[str, str]:
        """Return the published name of each of our convolutions."""
        names = {f"stem.{layer}": published for layer, (published, *_) in _STEM.items()}
        for layer, block in self.mixed.items():
            assert isinstance(block, _Mixed)
            names |= {f"mixed.{layer}.layers.{name}": f"M{layer[1:5]}_{layer[5:]}.{name}" for name in block.layers}
        return names


class FidInception(InceptionV3):
    """The Inception on which FID and KID are defined: it has 1008 classes, and zeros at a border do not count in means.

    `mixed7c` pools by the maximum, because of a mistake in the release of 2015.
    """

    classes = 1008
    pools = MappingProxyType(
        {name: "average" for name, kind in _MIXED.items() if kind.pooled is not None} | {"mixed7c": "max"}
    )
