"""Gram matrix and Gram style loss.

Formula     G(F) = F F^T / (C*H*W), where F is the features as [N, C, H*W];
            loss = mean over N and all C*C entries of (G(F) - T)^2.
Shapes      features [N, C, H, W], target_gram [N, C, C], [1, C, C] or [C, C]; gram [N, C, C], loss [].
Layouts     contiguous and channels_last features are read where they are, and so are slices of samples or channels;
            anything else is copied once. Gradients keep the features' layout.
Types       float32, bfloat16, float64, and float16 on CUDA. Sums, Gram matrices and losses are float32 (float64 for
            float64) whatever the features are. Autocast changes nothing.
Gradient    any order. dloss/dF = 4 / (N*C^2 * C*H*W) * sym(G - T) F: one product. Targets get gradients too.
Native      forward is a symmetric rank-k update, C^2*H*W useful operations; backward one product, 2*C^2*H*W. No
            temporary of the features' size.
Repeats     bit for bit, from run to run and for any number of threads.
Source      L. A. Gatys, A. S. Ecker, M. Bethge, "Image style transfer using convolutional neural networks", CVPR 2016;
            here with means for sums, so that layers and sizes weigh alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.dispatch import own_op
from ganart_zoo.ops.layout import result_format

__all__ = ["gram_matrix", "style_loss"]

_TYPES = {
    "cpu": frozenset({torch.float32, torch.bfloat16, torch.float64}),
    "cuda": frozenset({torch.float32, torch.bfloat16, torch.float16}),
}


def gram_matrix(features: Tensor) -> Tensor:
    """Return the Gram matrix of the channels, `F F^T / (C*H*W)`.

    Args:
        features: `[N, C, H, W]`, floating point.

    Returns:
        `[N, C, C]`, symmetric; float64 for float64 features, else float32.

    Raises:
        SettingsError: `features` has another rank or is not floating point.
    """
    _check_features(features)
    gram: Tensor = _gram_matrix(features, allow_tf32(features))
    return gram


def style_loss(features: Tensor, target_gram: Tensor) -> Tensor:
    """Return the mean squared difference between the Gram matrix of `features` and a target.

    Args:
        features: `[N, C, H, W]`, floating point.
        target_gram: `[N, C, C]`, or `[1, C, C]` or `[C, C]` for one target for all samples, as `gram_matrix` gives it.

    Returns:
        A scalar; float64 for float64 features, else float32.

    Raises:
        SettingsError: shapes, dtypes or devices do not fit together.
    """
    check_style_loss(features, target_gram)
    loss: Tensor = style_loss_op(features, target_gram, allow_tf32(features))[0]
    return loss


def gram_matrix_reference(features: Tensor, allow_tf32: bool) -> Tensor:
    """Define `gram_matrix` in plain PyTorch."""
    _, channels, height, width = features.shape
    with torch.autocast(features.device.type, enabled=False):
        rows = features.flatten(2).to(_sum_type(features.dtype))
        return rows @ rows.transpose(1, 2) / (channels * height * width)


def style_loss_reference(features: Tensor, target_gram: Tensor, allow_tf32: bool) -> tuple[Tensor, Tensor]:
    """Define `style_loss` in plain PyTorch; the second result is the difference of the Gram matrices, `[N, C, C]`."""
    difference = gram_matrix_reference(features, allow_tf32) - target_gram
    return difference.square().mean(), difference


_gram_matrix = own_op("gram_matrix", gram_matrix_reference, _TYPES)
style_loss_op = own_op("style_loss", style_loss_reference, _TYPES)


def _sum_type(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def allow_tf32(features: Tensor) -> bool:
    """Return whether products of these features may be rounded to TF32, as torch's own switch says."""
    return features.is_cuda and torch.backends.cuda.matmul.allow_tf32


def check_style_loss(features: Tensor, target_gram: Tensor) -> None:
    """Refuse features and a target that do not fit together."""
    _check_features(features)
    _check_target(features, target_gram)


def _check_features(features: Tensor) -> None:
    if features.dim() != 4 or not features.is_floating_point():
        raise SettingsError(
            f"features are {features.dtype} of shape {list(features.shape)}; expected floating point [N, C, H, W]"
        )


def _check_target(features: Tensor, target_gram: Tensor) -> None:
    samples, channels = features.shape[:2]
    shape = tuple(target_gram.shape)
    if shape not in {(samples, channels, channels), (1, channels, channels), (channels, channels)}:
        raise SettingsError(
            f"target_gram has shape {list(shape)}; features {list(features.shape)} need "
            f"[{samples}, {channels}, {channels}], [1, {channels}, {channels}] or [{channels}, {channels}]"
        )
    if target_gram.dtype != _sum_type(features.dtype):
        raise SettingsError(
            f"target_gram is {target_gram.dtype}; {features.dtype} features need {_sum_type(features.dtype)}, "
            "as gram_matrix returns it"
        )
    if target_gram.device != features.device:
        raise SettingsError(f"target_gram is on {target_gram.device} and features on {features.device}; move one")


# ---- what torch needs to know of the native ops: shapes without data, and derivatives ----


def _like_gram(features: Tensor, allow_tf32: bool) -> Tensor:
    samples, channels = features.shape[:2]
    return features.new_empty((samples, channels, channels), dtype=_sum_type(features.dtype))


def _like_gradient(grad_gram: Tensor, features: Tensor, allow_tf32: bool) -> Tensor:
    return torch.empty_like(features, memory_format=result_format(features))


def _like_loss(features: Tensor, target_gram: Tensor, allow_tf32: bool) -> tuple[Tensor, Tensor]:
    return features.new_empty((), dtype=_sum_type(features.dtype)), _like_gram(features, allow_tf32)


def _like_loss_gradient(grad_loss: Tensor, difference: Tensor, features: Tensor, allow_tf32: bool) -> Tensor:
    return _like_gradient(difference, features, allow_tf32)


def _setup_gram(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, ctx.allow_tf32 = inputs
    ctx.save_for_backward(features)


def _gram_backward(ctx: Any, grad_gram: Tensor) -> tuple[Tensor, None]:
    (features,) = ctx.saved_tensors
    return torch.ops.ganart.gram_matrix_backward.default(grad_gram, features, ctx.allow_tf32), None


def _setup_gram_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad_gram, features, ctx.allow_tf32 = inputs
    ctx.save_for_backward(grad_gram, features)


def _gram_double_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    grad_gram, features = ctx.saved_tensors
    wanted_gram, wanted_features, _ = ctx.needs_input_grad
    grad_matrix = _cross_gram(grad, features) if wanted_gram else None
    grad_features = (
        torch.ops.ganart.gram_matrix_backward.default(grad_gram, grad, ctx.allow_tf32) if wanted_features else None
    )
    return grad_matrix, grad_features, None


def _setup_loss(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, target_gram, ctx.allow_tf32 = inputs
    ctx.set_materialize_grads(False)
    ctx.target_shape = target_gram.shape
    ctx.save_for_backward(features, output[1])


def _loss_backward(
    ctx: Any, grad_loss: Tensor | None, grad_difference: Tensor | None
) -> tuple[Tensor | None, Tensor | None, None]:
    features, difference = ctx.saved_tensors
    wanted_features, wanted_target, _ = ctx.needs_input_grad
    grad_features = grad_target = None
    if grad_loss is not None and wanted_features and grad_difference is None and not wanted_target:
        native_backward = torch.ops.ganart.style_loss_backward.default
        return native_backward(grad_loss, difference, features, ctx.allow_tf32), None, None
    grad_matrix = grad_difference
    if grad_loss is not None:
        from_loss = _loss_scale(difference) * grad_loss * difference
        grad_matrix = from_loss if grad_matrix is None else grad_matrix + from_loss
    if grad_matrix is None:
        return None, None, None
    if wanted_features:
        grad_features = torch.ops.ganart.gram_matrix_backward.default(grad_matrix, features, ctx.allow_tf32)
    if wanted_target:
        grad_target = -grad_matrix.sum_to_size(ctx.target_shape)
    return grad_features, grad_target, None


def _setup_loss_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad_loss, difference, features, ctx.allow_tf32 = inputs
    ctx.save_for_backward(grad_loss, difference, features)


def _loss_double_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    grad_loss, difference, features = ctx.saved_tensors
    scale = _loss_scale(difference)
    cross = _cross_gram(grad, features)
    grad_features = torch.ops.ganart.style_loss_backward.default(grad_loss, difference, grad, ctx.allow_tf32)
    return scale * (difference * cross).sum(), scale * grad_loss * cross, grad_features, None


def _loss_scale(difference: Tensor) -> float:
    return 2 / max(difference.numel(), 1)


def _cross_gram(grad: Tensor, features: Tensor) -> Tensor:
    """Return `(V F^T + F V^T) / (C*H*W)`, the derivative of `(M + M^T) F / (C*H*W)` in M along V = `grad`."""
    with torch.autocast(features.device.type, enabled=False):
        sum_type = _sum_type(features.dtype)
        product = grad.flatten(2).to(sum_type) @ features.flatten(2).to(sum_type).transpose(1, 2)
        return (product + product.transpose(1, 2)) / max(features[:1].numel(), 1)


if style_loss_op.loaded:
    torch.library.register_fake("ganart::gram_matrix", _like_gram)
    torch.library.register_fake("ganart::gram_matrix_backward", _like_gradient)
    torch.library.register_fake("ganart::style_loss", _like_loss)
    torch.library.register_fake("ganart::style_loss_backward", _like_loss_gradient)
    register = torch.library.register_autograd
    register("ganart::gram_matrix", _gram_backward, setup_context=_setup_gram)
    register("ganart::gram_matrix_backward", _gram_double_backward, setup_context=_setup_gram_backward)
    register("ganart::style_loss", _loss_backward, setup_context=_setup_loss)
    register("ganart::style_loss_backward", _loss_double_backward, setup_context=_setup_loss_backward)
