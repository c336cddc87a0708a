"""A frozen network made as fast as the device allows: in bfloat16, and with 3x3 convolutions by Winograd's algorithm.

Winograd's algorithm needs a fifth of the multiplications; it replaces a convolution only where that pays. Its weights
are transformed when a convolution is first used, and kept while there is room: a layer of VGG takes 8 to 64 MiB, in
bfloat16 up to 18. Those of narrow layers in float32, and of layers for which no room is left, are transformed anew in
each call.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_zoo import ops
from ganart_zoo.contract.models import Backbone
from ganart_zoo.ops.conv3x3 import conv3x3, conv3x3_bias_act

__all__ = ["Precision", "accelerate", "can_accelerate", "convolve_relu", "fastest", "warmed"]

Network = TypeVar("Network", bound=nn.Module)

Precision = Literal["auto", "float32", "bfloat16"]
"""What a network computes in: `"auto"` is bfloat16 where the device multiplies that faster than float32."""

_LEAST_CHANNELS = 32
"""With fewer, transforming tiles costs as much as is saved."""
_LEAST_PIXELS = 256
"""With fewer, reading the transformed weights costs as much as is saved."""
_LEAST_PAIRS = 2**15
"""Weights for no more pairs of channels are transformed in each call if they are float32, which then costs nothing that
can be measured."""
_WARMING_SIDE = 96
"""Of a picture that every backbone takes."""
_BYTES_PER_PAIR = {torch.float32: 64 * 4, torch.bfloat16: 36 * 2}
"""Of transformed weights."""
_KEPT_BYTES = 128 * 2**20
"""The most bytes of transformed weights that one network keeps: those of VGG19 up to `conv5_1` in bfloat16, and of
VGG16 up to `conv4_2` in float32, where the layers that remain take about a fifth longer."""


def fastest(backbone: Backbone, precision: Precision = "auto") -> Backbone:
    """Return the backbone as fast as it can be in a precision: itself, or a converted copy.

    A copy and not autocast, because autocast would convert every weight anew at every step; and not in place, because
    others may share the original.

    Args:
        backbone: Not changed. No gradient reaches the weights of a copy.
        precision: `"auto"` converts a float32 backbone only, so that a model created in another type keeps it.
    """
    stored = backbone.compute_dtype
    wanted = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(precision, stored)
    if precision == "auto" and stored == torch.float32 and _bfloat16_pays(backbone.device):
        wanted = torch.bfloat16
    if wanted == stored and not can_accelerate(backbone):
        return backbone
    # The copy has the memory of the original's parameters, and other ones only where they are converted.
    own = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in backbone.parameters()}
    return accelerate(copy.deepcopy(backbone, own).to(wanted))


def warmed(backbone: Backbone, layers: Sequence[str]) -> Backbone:
    """Return the backbone with the transformed weights that these layers need, those of them that are kept.

    They are made when they are first needed too, but then lie between features in memory, which leaves it in pieces.
    """
    replaced = [module for module in backbone.modules() if isinstance(module, _WinogradConv2d)]
    if replaced:
        side = max([_WARMING_SIDE, *(backbone.layers[name].stride for name in layers)])
        for module in replaced:
            module.warming = True
        with torch.no_grad():
            backbone(torch.zeros(1, 3, side, side, dtype=backbone.picture_dtype, device=backbone.device), layers)
        for module in replaced:
            module.warming = False
    return backbone


def can_accelerate(network: nn.Module) -> bool:
    """Return whether `accelerate` would replace anything."""
    return bool(_candidates(network))


def accelerate(network: Network) -> Network:
    """Replace the frozen 3x3 convolutions of `network` by faster ones where there are any, in place; return it.

    The replacements may hold transformed copies of the weights, which do not follow later changes of the originals.
    """
    room = _Room(_KEPT_BYTES)
    for name, direct in _candidates(network).items():
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, _WinogradConv2d(direct, room))
    return network


def convolve_relu(convolution: nn.Module, features: Tensor) -> Tensor:
    """Return `relu(convolution(features))`: in one pass where `accelerate` replaced the convolution.

    Args:
        convolution: A module whose result nothing else uses, such as `nn.Conv2d`.
        features: `[N, C, H, W]`.
    """
    if isinstance(convolution, _WinogradConv2d):
        return convolution.with_relu(features)
    return functional.relu(convolution(features), inplace=True)


class _Room:
    """Bytes that are left for transformed weights."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int) -> bool:
        """Say whether there are so many bytes; they are taken then."""
        enough = size <= self.left
        self.left -= size if enough else 0
        return enough


class _WinogradConv2d(nn.Module):
    """A frozen 3x3 convolution of stride 1 and padding 1.

    Args:
        direct: The convolution to replace. It still handles maps that are too small to gain.
        room: For the transformed weights.
    """

    def __init__(self, direct: nn.Conv2d, room: _Room) -> None:
        super().__init__()
        self.direct = direct
        self._room = room
        self._kept: ops.WinogradKernel | None = None
        self.warming = False
        """Whether to keep transformed weights for maps of any size."""

    def forward(self, features: Tensor) -> Tensor:
        """Return the convolution of `[N, C, H, W]`, of its type; gradients reach the features and the bias."""
        if _is_small(features) and not self.warming:
            result: Tensor = self.direct(features)
            return result
        bias, kernel = self.direct.bias, self._kernel()
        if kernel is not None:
            return ops.winograd_conv2d(features, kernel, bias)
        # Not conv3x3_bias_act, which keeps its result for the gradient: it may be changed in place.
        summed = conv3x3(features, self.direct.weight.detach())
        return summed if bias is None else summed + bias.to(summed.dtype).view(-1, 1, 1)

    def with_relu(self, features: Tensor) -> Tensor:
        """Return the ReLU of the convolution."""
        if _is_small(features):
            return functional.relu(self(features), inplace=True)
        kernel = self._kernel()
        if kernel is not None:
            return ops.winograd_conv2d(features, kernel, self.direct.bias, relu=True)
        weight, bias = self.direct.weight.detach(), self.direct.bias
        return conv3x3_bias_act(features, weight, bias, "relu", 0.0, 1.0, None)

    def _kernel(self) -> ops.WinogradKernel | None:
        """Return the transformed weights if they are kept."""
        weight = self.direct.weight
        dtype = _kernel_type(weight.dtype)
        pairs = weight.shape[0] * weight.shape[1]
        worth_it = pairs > _LEAST_PAIRS or dtype == torch.bfloat16
        if self._kept is None and worth_it and self._room.take(_BYTES_PER_PAIR[dtype] * pairs):
            with torch.inference_mode(False), torch.no_grad():  # or no later call could have a gradient
                self._kept = ops.winograd_kernel(weight, dtype)
        return self._kept


def _kernel_type(dtype: torch.dtype) -> torch.dtype:
    """Return the type of transformed weights for features of a type: bfloat16 pays where it has dot products."""
    return dtype if torch.ops.ganart.use_cpu_isa("") == "avx512bf16" else torch.float32


def _is_small(features: Tensor) -> bool:
    return features.shape[-2] * features.shape[-1] < _LEAST_PIXELS


def _candidates(network: nn.Module) -> dict[str, nn.Conv2d]:
    modules = network.named_modules()
    return {name: module for name, module in modules if isinstance(module, nn.Conv2d) and _pays(module)}


def _pays(convolution: nn.Conv2d) -> bool:
    return (
        convolution.weight.dtype in (torch.float32, torch.bfloat16)
        and min(convolution.in_channels, convolution.out_channels) >= _LEAST_CHANNELS
        and convolution.kernel_size == (3, 3)
        and convolution.stride == (1, 1)
        and convolution.padding == (1, 1)
        and convolution.padding_mode == "zeros"
        and convolution.dilation == (1, 1)
        and convolution.groups == 1
        and _is_native(convolution.weight.device.type)
    )


def _is_native(device: str) -> bool:
    statuses = (status for status in ops.status() if status.op == "ganart::winograd_conv2d" and status.device == device)
    return any(status.implementation == "native" for status in statuses)


def _bfloat16_pays(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return any(torch.cpu.get_capabilities().get(unit, False) for unit in ("avx512_bf16", "amx_bf16"))
    return False
