"""Style losses of several layers as one node of the graph.

Formula     sum over layers of weight * style_loss(features, target_gram).
Shapes      each layer's as for `style_loss`; the result is a scalar.
Types       as for `style_loss`; the result is float64 if any layer's features are, else float32.
Gradient    any order, for features and targets. If targets need gradients, for higher derivatives, and in compiled
            calls, whose nodes are free, the formula runs as a loop over layers.
Native      the kernels of `style_loss`. On small features a node per layer costs as much as its kernel: for the eight
            taps of EfficientNet-lite0, one node takes 0.9 of the loop's time at 512 pixels and 0.8 at 256.
Repeats     bit for bit, from run to run and for any number of threads.
Source      as for `style_loss`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.dispatch import is_transformed
from ganart_zoo.ops.gram_matrix import allow_tf32
from ganart_zoo.ops.higher_order import pull_back
from ganart_zoo.ops.style_loss import check_style_loss, style_loss, style_loss_backward, style_loss_op

__all__ = ["style_losses"]


def style_losses(features: Sequence[Tensor], target_grams: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return the weighted sum of the style losses of several layers.

    Args:
        features: The features of each layer, `[N, C, H, W]`, on one device.
        target_grams: The target of each layer, as for `style_loss`.
        weights: The weight of each layer.

    Returns:
        A scalar.

    Raises:
        SettingsError: there are no layers, the three differ in length, or a layer's shapes, dtypes or devices do not
            fit together.
    """
    if not features or not len(features) == len(target_grams) == len(weights):
        raise SettingsError(
            f"style_losses: {len(features)} features, {len(target_grams)} target_grams and {len(weights)} weights; "
            "expected one of each for every layer, and at least one layer"
        )
    for layer in zip(features, target_grams, strict=True):
        check_style_loss("style_losses", *layer)
    loops = torch.compiler.is_compiling() or any(target.requires_grad for target in target_grams)
    if loops or is_transformed(*features, *target_grams) or not all(map(style_loss_op.is_native_for, features)):
        return style_losses_reference(features, target_grams, weights)
    total: Tensor = _StyleLosses.apply(target_grams, weights, *features)  # type: ignore[no-untyped-call]
    return total


def style_losses_reference(
    features: Sequence[Tensor], target_grams: Sequence[Tensor], weights: Sequence[float]
) -> Tensor:
    """Define `style_losses`."""
    return _weighted_sum([style_loss(*layer) for layer in zip(features, target_grams, strict=True)], weights)


def _weighted_sum(losses: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = losses[0] * weights[0]
    for loss, weight in zip(losses[1:], weights[1:], strict=True):
        total = torch.add(total, loss, alpha=weight)
    return total


class _StyleLosses(torch.autograd.Function):
    """The native kernels of all layers in one node."""

    @staticmethod
    def forward(ctx: Any, targets: Sequence[Tensor], weights: Sequence[float], *features: Tensor) -> Tensor:
        layers = zip(features, targets, strict=True)
        losses, differences = zip(*(style_loss_op(f, target, allow_tf32(f)) for f, target in layers), strict=True)
        ctx.targets, ctx.weights = targets, weights
        ctx.save_for_backward(*features, *differences)
        return _weighted_sum(losses, weights)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        count = len(ctx.weights)
        features, differences = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        if torch.is_grad_enabled():  # to be differentiated again

            def total(*features: Tensor) -> tuple[Tensor]:
                return (style_losses_reference(features, ctx.targets, ctx.weights),)

            return None, None, *pull_back(total, features, (grad,))
        gradients = [
            style_loss_backward((grad * weight).to(difference.dtype), difference, f, allow_tf32(f)) if wanted else None
            for f, difference, weight, wanted in zip(
                features, differences, ctx.weights, ctx.needs_input_grad[2:], strict=True
            )
        ]
        return None, None, *gradients
