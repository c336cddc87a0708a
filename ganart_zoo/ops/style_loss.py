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

import torch
from torch import Tensor

from ganart_zoo import native
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.dispatch import NativeOp

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
    gram: Tensor = _gram_matrix(features, _allow_tf32(features))
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
    _check_features(features)
    _check_target(features, target_gram)
    loss: Tensor = _style_loss(features, target_gram, _allow_tf32(features))[0]
    return loss


def gram_matrix_reference(features: Tensor, allow_tf32: bool = False) -> Tensor:
    """Define `gram_matrix` in plain PyTorch."""
    _, channels, height, width = features.shape
    with torch.autocast(features.device.type, enabled=False):
        rows = features.flatten(2).to(_sum_type(features.dtype))
        return rows @ rows.transpose(1, 2) / (channels * height * width)


def style_loss_reference(features: Tensor, target_gram: Tensor, allow_tf32: bool = False) -> tuple[Tensor, Tensor]:
    """Define `style_loss` in plain PyTorch; the second result is the difference of the Gram matrices, `[N, C, C]`."""
    difference = gram_matrix_reference(features, allow_tf32) - target_gram
    return difference.square().mean(), difference


_gram_matrix = NativeOp(
    "ganart::gram_matrix",
    reference=gram_matrix_reference,
    library=native.ops_library(),
    dtypes=_TYPES,
    missing=native.why_not_built(),
)
_style_loss = NativeOp(
    "ganart::style_loss",
    reference=style_loss_reference,
    library=native.ops_library(),
    dtypes=_TYPES,
    missing=native.why_not_built(),
)


def _sum_type(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _allow_tf32(features: Tensor) -> bool:
    return features.is_cuda and torch.backends.cuda.matmul.allow_tf32


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
