"""Layers that both networks share. Weights have unit variance and are scaled at run time, so all learn at one rate.

Karras et al. 2018 (equalised learning rate), https://arxiv.org/abs/1710.10196; Karras et al. 2020 (StyleGAN2),
https://arxiv.org/abs/1912.04958.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_zoo import ops
from ganart_zoo.ops import Activation

__all__ = ["Convolution", "Dense", "Mapping", "resampling_taps"]

_MAPPING_RATE = 0.01


def resampling_taps() -> Tensor:
    """Return the low-pass filter of all resampling, `[1, 3, 3, 1] / 8`."""
    return torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


class Dense(nn.Module):
    """A linear layer and an activation.

    Args:
        inputs: The length of an input row.
        outputs: The length of an output row.
        act: As for `ops.bias_act`.
        rate: A factor of its learning rate; weights are stored divided by it.
        bias: The initial bias.
    """

    def __init__(
        self, inputs: int, outputs: int, act: Activation = "linear", rate: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self._act: Activation = act
        self._weight_gain = rate / math.sqrt(inputs)
        self._bias_gain = rate

    def forward(self, rows: Tensor) -> Tensor:
        """Return `[n, outputs]` for `[n, inputs]`."""
        weight, bias = self.weight * self._weight_gain, self.bias * self._bias_gain
        if self._act == "linear":
            return functional.linear(rows, weight, bias)
        return ops.bias_act(functional.linear(rows, weight), bias, act=self._act)


class Convolution(nn.Module):
    """A convolution and an activation, for critics; the input is low-pass filtered if the convolution halves the side.

    Args:
        inputs: The number of input channels.
        outputs: The number of output channels.
        kernel_size: An odd size.
        halve: Whether to halve the side.
        act: As for `ops.conv2d_bias_act`.
        bias: Whether to add a bias.
        gain: A factor of the result.
    """

    taps: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        *,
        halve: bool = False,
        act: Activation = "lrelu",
        bias: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.register_buffer("taps", resampling_taps() if halve else None, persistent=False)
        self._weight_gain = 1 / math.sqrt(inputs * kernel_size**2)
        self._act: Activation = act
        self._gain = gain * (math.sqrt(2) if act == "lrelu" else 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[n, outputs, H, W]`, or half the side, for `[n, inputs, H, W]`."""
        return ops.conv2d_bias_act(
            features,
            (self.weight * self._weight_gain).to(features.dtype),
            self.bias,
            stride=1 if self.taps is None else 2,
            taps=self.taps,
            padding=self.weight.shape[-1] // 2,
            act=self._act,
            gain=self._gain,
        )


class Mapping(nn.Module):
    """Dense layers from a latent, a class, or both, to a style.

    Args:
        latent_size: The length of a latent; 0 if only classes are mapped.
        classes: The number of classes; 0 if only latents are mapped.
        style_size: The length of a style.
        layers: The number of layers.
    """

    def __init__(self, latent_size: int, classes: int, style_size: int, layers: int) -> None:
        super().__init__()
        self.embed = Dense(classes, style_size) if classes else None
        first = latent_size + (style_size if classes else 0)
        sizes = [first] + [style_size] * layers
        self.layers = nn.ModuleList(
            Dense(inputs, outputs, "lrelu", rate=_MAPPING_RATE) for inputs, outputs in pairwise(sizes)
        )

    def forward(self, latents: Tensor | None, labels: Tensor | None) -> Tensor:
        """Return styles `[n, style_size]`.

        Args:
            latents: `[n, latent_size]`; None if only classes are mapped.
            labels: `[n]`; None if only latents are mapped.
        """
        parts = [] if latents is None else [ops.pixel_norm(latents)]
        if self.embed is not None and labels is not None:
            chosen = functional.one_hot(labels, self.embed.weight.shape[1])
            parts.append(ops.pixel_norm(self.embed(chosen.to(self.embed.weight.dtype))))
        rows = torch.cat(parts, dim=1)
        for layer in self.layers:
            rows = layer(rows)
        return rows
