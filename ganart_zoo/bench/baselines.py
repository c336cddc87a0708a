"""The plain PyTorch that ops are timed against, as a user would write it. Tests check it against the ops."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["gram_matrix", "style_loss"]


def gram_matrix(features: Tensor) -> Tensor:
    """Return `F F^T / (C*H*W)` of `[N, C, H, W]` as `[N, C, C]`, in the features' own type."""
    rows = features.flatten(2)
    return torch.bmm(rows, rows.transpose(1, 2)) / features[:1].numel()


def style_loss(features: Tensor, target_gram: Tensor) -> Tensor:
    """Return the mean squared difference of `gram_matrix` from a target `[N, C, C]` of the same type: a scalar."""
    return functional.mse_loss(gram_matrix(features), target_gram)
