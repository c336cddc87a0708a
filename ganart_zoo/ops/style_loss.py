"""Gram style loss: the mean squared difference between a layer's Gram matrix and a target.

Formula     loss = mean over N and all C*C entries of (G(F) - T)^2, with G as in `gram_matrix`.
Shapes      features [N, C, H, W]; target_gram [N, C, C], or [1, C, C] or [C, C] for all samples; loss [].
Layouts     as for `gram_matrix`.
Types       as for `gram_matrix`; the loss has the type of the Gram matrix.
Gradient    any order, for features and targets. dloss/dF = 4 / (N*C^2 * C*H*W) * sym(G - T) F: one product.
Native      forward is a symmetric rank-k update, C^2*H*W useful operations; backward is one product, 2*C^2*H*W. Neither
            has a temporary of the features' size.
Repeats     bit for bit, from run to run and for any number of threads.
Source      L. A. Gatys, A. S. Ecker, M. Bethge, "Image style transfer using convolutional neural networks", CVPR 2016,
            with means in place of sums, so that layers and picture sizes have equal weight.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganart_zoo.ops.checks import check_device, check_pictures, check_shape, check_type
from ganart_zoo.ops.dispatch import InnerOp, own_op
from ganart_zoo.ops.dtypes import sum_type
from ganart_zoo.ops.gram_matrix import (
    GRAM_TYPES,
    allow_tf32,
    cross_gram,
    gram_matrix_backward,
    gram_matrix_backward_reference,
    gram_matrix_reference,
    like_gram,
)
from ganart_zoo.ops.layout import like_features
from ganart_zoo.ops.workloads import shaped

__all__ = ["check_style_loss", "style_loss", "style_loss_backward", "style_loss_op", "style_loss_reference"]


def style_loss(features: Tensor, target_gram: Tensor) -> Tensor:
    """Return the mean squared difference between the Gram matrix of `features` and a target.

    Args:
        features: `[N, C, H, W]`, floating point.
        target_gram: `[N, C, C]`, or `[1, C, C]` or `[C, C]` for all samples, as `gram_matrix` returns it.

    Returns:
        A scalar; float64 for float64 features, else float32.

    Raises:
        SettingsError: Shapes, dtypes or devices do not fit together.
    """
    check_style_loss("style_loss", features, target_gram)
    loss: Tensor = style_loss_op(features, target_gram, allow_tf32(features))[0]
    return loss


def style_loss_reference(features: Tensor, target_gram: Tensor, allow_tf32: bool) -> tuple[Tensor, Tensor]:
    """Define `style_loss` in plain PyTorch; the second result is the difference of the Gram matrices, `[N, C, C]`."""
    difference = gram_matrix_reference(features, allow_tf32) - target_gram
    return difference.square().mean(), difference


def style_loss_backward_reference(grad_loss: Tensor, difference: Tensor, features: Tensor, allow_tf32: bool) -> Tensor:
    """Define the backward in plain PyTorch."""
    return gram_matrix_backward_reference(_loss_scale(difference) * grad_loss * difference, features, allow_tf32)


def check_style_loss(op: str, features: Tensor, target_gram: Tensor) -> None:
    """Refuse features and a target that do not fit together."""
    check_pictures(op, features, "features")
    samples, channels = features.shape[:2]
    shapes = [[samples, channels, channels], [1, channels, channels], [channels, channels]]
    check_shape(op, "target_gram", target_gram, shapes, features, "features")
    dtype = sum_type(features.dtype)
    check_type(op, "target_gram", target_gram, [dtype], "as gram_matrix returns it")
    check_device(op, "target_gram", target_gram, features, "features")


# What torch needs to know about the native op: shapes without data, and derivatives.

style_loss_op = own_op(
    "style_loss",
    style_loss_reference,
    GRAM_TYPES,
    {
        "small": (shaped(1, 32, 32, 32), shaped(1, 32, 32), False),
        "standard": (shaped(1, 256, 128, 128), shaped(1, 256, 256), False),
    },
)
style_loss_backward = InnerOp("style_loss_backward", style_loss_backward_reference)


def _like_results(features: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return features.new_empty((), dtype=sum_type(features.dtype)), like_gram(features)


def _like_gradient(grad_loss: Tensor, difference: Tensor, features: Tensor, allow_tf32: bool) -> Tensor:
    return like_features(features)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, target_gram, ctx.allow_tf32 = inputs
    ctx.set_materialize_grads(False)
    ctx.target_shape = target_gram.shape
    ctx.save_for_backward(features, output[1])


def _backward(
    ctx: Any, grad_loss: Tensor | None, grad_difference: Tensor | None
) -> tuple[Tensor | None, Tensor | None, None]:
    features, difference = ctx.saved_tensors
    needs_features, needs_target, _ = ctx.needs_input_grad
    grad_features = grad_target = None
    if grad_loss is not None and needs_features and grad_difference is None and not needs_target:
        return style_loss_backward(grad_loss, difference, features, ctx.allow_tf32), None, None
    grad_matrix = grad_difference
    if grad_loss is not None:
        from_loss = _loss_scale(difference) * grad_loss * difference
        grad_matrix = from_loss if grad_matrix is None else grad_matrix + from_loss
    if grad_matrix is None:
        return None, None, None
    if needs_features:
        grad_features = gram_matrix_backward(grad_matrix, features, ctx.allow_tf32)
    if needs_target:
        grad_target = -grad_matrix.sum_to_size(ctx.target_shape)
    return grad_features, grad_target, None


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad_loss, difference, features, ctx.allow_tf32 = inputs
    ctx.save_for_backward(grad_loss, difference, features)


def _double_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    grad_loss, difference, features = ctx.saved_tensors
    scale = _loss_scale(difference)
    cross = cross_gram(grad, features)
    grad_features = style_loss_backward(grad_loss, difference, grad, ctx.allow_tf32)
    return scale * (difference * cross).sum(), scale * grad_loss * cross, grad_features, None


def _loss_scale(difference: Tensor) -> float:
    return 2 / max(difference.numel(), 1)


if style_loss_op.loaded:
    torch.library.register_fake("ganart::style_loss", _like_results)
    torch.library.register_fake("ganart::style_loss_backward", _like_gradient)
    style_loss_op.register_autograd(_backward, setup_context=_setup)
    style_loss_backward.register_autograd(_double_backward, setup_context=_setup_backward)
