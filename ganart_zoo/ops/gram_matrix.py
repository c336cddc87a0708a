"""Gram matrix: the inner products of a layer's channels, by which pictures' styles are compared.

Formula     G(F) = F F^T / (C*H*W), where F is the features as [N, C, H*W].
Shapes      features [N, C, H, W]; gram [N, C, C].
Layouts     contiguous and channels_last features are read in place, and so are slices of samples or channels; anything
            else is copied once. Gradients keep the features' layout.
Types       float32, bfloat16, float64, and float16 on CUDA. Sums and Gram matrices are float32 (float64 for float64)
            whatever the features are. Autocast changes nothing.
Gradient    any order.
Native      forward is a symmetric rank-k update, C^2*H*W useful operations; backward is one product, 2*C^2*H*W. Neither
            has a temporary of the features' size.
Repeats     bit for bit, from run to run and for any number of threads.
Source      L. A. Gatys, A. S. Ecker, M. Bethge, "Image style transfer using convolutional neural networks", CVPR 2016,
            with a mean in place of the sum, so that layers and picture sizes have equal weight.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganart_zoo.ops.checks import check_pictures
from ganart_zoo.ops.dispatch import InnerOp, own_op
from ganart_zoo.ops.dtypes import sum_type
from ganart_zoo.ops.layout import like_features
from ganart_zoo.ops.workloads import shaped

__all__ = [
    "GRAM_TYPES",
    "allow_tf32",
    "cross_gram",
    "gram_matrix",
    "gram_matrix_backward",
    "gram_matrix_backward_reference",
    "gram_matrix_reference",
    "like_gram",
]

GRAM_TYPES = {
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
    check_pictures("gram_matrix", features, "features")
    gram: Tensor = _gram_matrix(features, allow_tf32(features))
    return gram


def gram_matrix_reference(features: Tensor, allow_tf32: bool) -> Tensor:
    """Define `gram_matrix` in plain PyTorch."""
    _, channels, height, width = features.shape
    with torch.autocast(features.device.type, enabled=False):
        rows = features.flatten(2).to(sum_type(features.dtype))
        return rows @ rows.transpose(1, 2) / (channels * height * width)


def gram_matrix_backward_reference(grad_gram: Tensor, features: Tensor, allow_tf32: bool) -> Tensor:
    """Define the backward in plain PyTorch: `(M + M^T) F / (C*H*W)`."""
    with torch.autocast(features.device.type, enabled=False):
        rows = features.flatten(2).to(sum_type(features.dtype))
        gradient = (grad_gram + grad_gram.transpose(1, 2)) @ rows / max(features[:1].numel(), 1)
    return gradient.reshape(features.shape).to(features.dtype)


def allow_tf32(features: Tensor) -> bool:
    """Return whether products of these features may be rounded to TF32, according to torch's own switch."""
    return features.is_cuda and torch.backends.cuda.matmul.allow_tf32


def cross_gram(grad: Tensor, features: Tensor) -> Tensor:
    """Return `(V F^T + F V^T) / (C*H*W)`, the derivative of `(M + M^T) F / (C*H*W)` in M along V = `grad`."""
    with torch.autocast(features.device.type, enabled=False):
        dtype = sum_type(features.dtype)
        product = grad.flatten(2).to(dtype) @ features.flatten(2).to(dtype).transpose(1, 2)
        return (product + product.transpose(1, 2)) / max(features[:1].numel(), 1)


# What torch needs to know about the native op: shapes without data, and derivatives.

_gram_matrix = own_op(
    "gram_matrix",
    gram_matrix_reference,
    GRAM_TYPES,
    {"small": (shaped(1, 32, 32, 32), False), "standard": (shaped(1, 256, 128, 128), False)},
)
gram_matrix_backward = InnerOp("gram_matrix_backward", gram_matrix_backward_reference)


def like_gram(features: Tensor) -> Tensor:
    """Return an uninitialised Gram matrix of `features`."""
    samples, channels = features.shape[:2]
    return features.new_empty((samples, channels, channels), dtype=sum_type(features.dtype))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, ctx.allow_tf32 = inputs
    ctx.save_for_backward(features)


def _backward(ctx: Any, grad_gram: Tensor) -> tuple[Tensor, None]:
    (features,) = ctx.saved_tensors
    return gram_matrix_backward(grad_gram, features, ctx.allow_tf32), None


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad_gram, features, ctx.allow_tf32 = inputs
    ctx.save_for_backward(grad_gram, features)


def _double_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    grad_gram, features = ctx.saved_tensors
    needs_gram, needs_features, _ = ctx.needs_input_grad
    grad_matrix = cross_gram(grad, features) if needs_gram else None
    return grad_matrix, gram_matrix_backward(grad_gram, grad, ctx.allow_tf32) if needs_features else None, None


if _gram_matrix.loaded:
    torch.library.register_fake("ganart::gram_matrix", lambda features, _: like_gram(features))
    torch.library.register_fake("ganart::gram_matrix_backward", lambda _, features, *__: like_features(features))
    _gram_matrix.register_autograd(_backward, setup_context=_setup)
    gram_matrix_backward.register_autograd(_double_backward, setup_context=_setup_backward)
