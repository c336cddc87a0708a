"""The plain PyTorch that ops are timed against, as a user would write it. Tests check it against the ops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from ganart_zoo.ops.activation import activate
from ganart_zoo.ops.winograd_conv2d import recovered_weight
from ganart_zoo.ops.workloads import Peers

__all__ = ["PEERS", "gram_matrix", "style_loss"]


def gram_matrix(features: Tensor) -> Tensor:
    """Return `F F^T / (C*H*W)` of `[N, C, H, W]` as `[N, C, C]`, in the features' own type."""
    rows = features.flatten(2)
    return torch.bmm(rows, rows.transpose(1, 2)) / features[:1].numel()


def style_loss(features: Tensor, target_gram: Tensor) -> Tensor:
    """Return the mean squared difference of `gram_matrix` from a target `[N, C, C]` of the same type: a scalar."""
    return functional.mse_loss(gram_matrix(features), target_gram)


def _conv2d(x: Tensor, kernel: Tensor, bias: Tensor | None, out_channels: int, *_: object) -> Callable[[], Tensor]:
    weight = recovered_weight(kernel, x.shape[1], out_channels).to(x.dtype)
    own_bias = None if bias is None else bias.to(x.dtype)
    return lambda: functional.conv2d(x, weight, own_bias, padding=1)


def _conv2d_weight(x: Tensor, grad: Tensor) -> Callable[[], Tensor]:
    shape = [grad.shape[1], x.shape[1], 3, 3]
    return lambda: conv2d_weight(x, shape, grad, padding=1)


def _strided_conv2d_weight(x: Tensor, grad: Tensor) -> Callable[[], Tensor]:
    shape = [grad.shape[1], x.shape[1], 4, 4]
    return lambda: conv2d_weight(x, shape, grad, stride=2, padding=1)


def _instance_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, act: Any, negative_slope: float, eps: float
) -> Callable[[], Tensor]:
    values = [None if each is None else each.to(x.dtype) for each in (weight, bias)]
    if all(each is None or each.dim() == 1 for each in values):
        return lambda: activate(
            functional.instance_norm(x, weight=values[0], bias=values[1], eps=eps), act, negative_slope
        )
    scale, shift = (each if each is None else each[..., None, None] for each in values)

    def for_each_sample() -> Tensor:
        z = functional.instance_norm(x, eps=eps)
        z = z if scale is None else z * scale
        return activate(z if shift is None else z + shift, act, negative_slope)

    return for_each_sample


PEERS: Mapping[str, Peers] = MappingProxyType(
    {
        "ganart::gram_matrix": {"torch.bmm": lambda x, _: lambda: gram_matrix(x)},
        "ganart::style_loss": {"torch.bmm": lambda x, target, _: lambda: style_loss(x, target.to(x.dtype))},
        "ganart::winograd_conv2d": {"conv2d": _conv2d},
        "ganart::conv3x3_weight": {"conv2d_weight": _conv2d_weight},
        "ganart::conv4x4_weight": {"conv2d_weight": _strided_conv2d_weight},
        "ganart::instance_norm_act": {"instance_norm": _instance_norm},
    }
)
"""By op of this package: torch's own functions for the same result, with the arguments of the op."""
