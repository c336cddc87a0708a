"""One style in one network.

J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution", ECCV 2016, with
instance normalisation. Tensors are named as in the networks that pytorch/examples (`fast_neural_style`) publishes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ganart_faststyle.config import JohnsonConfig
from ganart_faststyle.feed_forward import FeedForward, finite_tensors
from ganart_faststyle.layers import compute_layout, crop, enlarged_conv2d, pad_to_least, reflected_conv2d
from ganart_faststyle.tiled import instance_norm_act, reach
from ganart_zoo import ops
from ganart_zoo.contract import SettingsError, Style

__all__ = ["Johnson"]

_WHITE = 255.0
"""The published networks take and give pictures in 0..255."""


class ConvLayer(nn.Module):
    """A convolution with reflected borders."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, doubles: bool = False) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(inputs, outputs, kernel)
        self.stride, self.doubles = stride, doubles

    def forward(self, x: Tensor, norm: nn.InstanceNorm2d | None, act: ops.Activation = "relu") -> Tensor:
        """Return the convolution's result, normalised and activated where there is a norm."""
        weight = self.conv2d.weight
        x = enlarged_conv2d(x, weight) if self.doubles else reflected_conv2d(x, weight, stride=self.stride)
        if norm is None:
            return ops.bias_act(x, self.conv2d.bias)
        # Normalisation removes the convolution's bias, so it is not added first.
        return instance_norm_act(x, norm.weight, norm.bias, act=act, eps=norm.eps)


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to what they are given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(channels, channels, 3)
        self.in1 = nn.InstanceNorm2d(channels, affine=True)
        self.conv2 = ConvLayer(channels, channels, 3)
        self.in2 = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[n, channels, H, W]`."""
        residue: Tensor = self.conv2(self.conv1(x, self.in1), self.in2, "linear")
        return x + residue


class Johnson(FeedForward):
    """Restyles photos in the one style of its weights.

    Args:
        config: The network's shape.
    """

    def __init__(self, config: JohnsonConfig) -> None:
        super().__init__(config)
        first, second, third = config.channels
        self.blocks = config.blocks
        self.halo = reach(config.blocks)
        self.conv1 = ConvLayer(3, first, 9)
        self.in1 = nn.InstanceNorm2d(first, affine=True)
        self.conv2 = ConvLayer(first, second, 3, stride=2)
        self.in2 = nn.InstanceNorm2d(second, affine=True)
        self.conv3 = ConvLayer(second, third, 3, stride=2)
        self.in3 = nn.InstanceNorm2d(third, affine=True)
        for number in range(1, config.blocks + 1):
            self.add_module(f"res{number}", ResidualBlock(third))
        self.deconv1 = ConvLayer(third, second, 3, doubles=True)
        self.in4 = nn.InstanceNorm2d(second, affine=True)
        self.deconv2 = ConvLayer(second, first, 3, doubles=True)
        self.in5 = nn.InstanceNorm2d(first, affine=True)
        self.deconv3 = ConvLayer(first, 3, 9)

    def forward(self, images: Tensor, shares: Tensor | None = None) -> Tensor:
        """Return styled pictures `[n, 3, H, W]`, not clamped.

        Args:
            images: `[n, 3, H, W]` in 0..1.
            shares: None; there is one style.
        """
        x = compute_layout(pad_to_least(images) * _WHITE, self.compute_dtype)
        x = self.conv3(self.conv2(self.conv1(x, self.in1), self.in2), self.in3)
        for number in range(1, self.blocks + 1):
            x = self.get_submodule(f"res{number}")(x)
        x = self.deconv3(self.deconv2(self.deconv1(x, self.in4), self.in5), None)
        return crop(x, images).to(self.picture_dtype, memory_format=torch.contiguous_format) / _WHITE

    def style_shares(self, styles: Sequence[Style]) -> None:
        """Return None.

        Raises:
            SettingsError: A style was given.
        """
        if styles:
            raise SettingsError("johnson has the one style of its weights; leave the style out, or load other weights")

    def load_weights(self, files: Mapping[str, Path], *, device: torch.device, dtype: torch.dtype) -> None:
        """Load one published file. Running statistics that old files hold are left out: they are not used.

        Raises:
            ModelError: There is not exactly one file, its tensors do not fit, or it holds NaN.
            WeightsError: The file is damaged.
        """
        unused = ("running_mean", "running_var", "num_batches_tracked")
        tensors = finite_tensors(files, "johnson")
        self.load_own_state({name: tensor for name, tensor in tensors.items() if not name.endswith(unused)})
