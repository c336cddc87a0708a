"""The activations that fused layers offer, and their default gains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

__all__ = ["SELU_ALPHA", "SELU_SCALE", "Activation", "activate", "default_gain"]

Activation = Literal["linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"]

SELU_SCALE, SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848  # Klambauer et al. 2017

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda z: z,
    "relu": F.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
    "selu": F.selu,
    "softplus": F.softplus,
    "swish": F.silu,
}
_KEEPS_VARIANCE = frozenset({"relu", "lrelu", "swish"})  # times sqrt(2), as in StyleGAN2: they halve it, roughly


def activate(z: Tensor, act: Activation, negative_slope: float) -> Tensor:
    """Apply an activation; `negative_slope` belongs to `lrelu` alone."""
    return F.leaky_relu(z, negative_slope) if act == "lrelu" else _FUNCTIONS[act](z)


def default_gain(act: Activation) -> float:
    """Return StyleGAN2's gain: sqrt(2) where the activation would shrink the signal, else 1."""
    return 2**0.5 if act in _KEEPS_VARIANCE else 1.0
