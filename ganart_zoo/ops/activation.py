"""The activations that fused layers offer, their default gains, and the checks of arguments that several ops share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError, did_you_mean

__all__ = [
    "NATIVE_TYPES",
    "SELU_ALPHA",
    "SELU_SCALE",
    "Activation",
    "activate",
    "check_activation",
    "check_channels",
    "check_device",
    "check_features",
    "default_gain",
    "sum_type",
]

Activation = Literal["linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"]

NATIVE_TYPES = {
    "cpu": frozenset({torch.float32, torch.bfloat16, torch.float64}),
    "cuda": frozenset({torch.float32, torch.bfloat16, torch.float16, torch.float64}),
}
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
_KEEPS_VARIANCE = frozenset({"relu", "lrelu", "swish"})  # they halve it, about; StyleGAN2 multiplies by sqrt(2)


def activate(z: Tensor, act: Activation, negative_slope: float) -> Tensor:
    """Apply an activation; `negative_slope` belongs to `lrelu` alone."""
    return F.leaky_relu(z, negative_slope) if act == "lrelu" else _FUNCTIONS[act](z)


def default_gain(act: Activation) -> float:
    """Return StyleGAN2's gain: sqrt(2) where the activation would shrink the signal, else 1."""
    return 2**0.5 if act in _KEEPS_VARIANCE else 1.0


def check_activation(
    op: str, act: str, negative_slope: float, gain: float | None = None, clamp: float | None = None
) -> None:
    """Refuse an unknown activation, and what would keep an output's sign from telling its input's."""
    if act not in get_args(Activation):
        known = get_args(Activation)
        raise SettingsError(f"{op}: act is {act!r}; expected one of {', '.join(known)}{did_you_mean(str(act), known)}")
    if not negative_slope >= 0:
        raise SettingsError(f"{op}: negative_slope is {negative_slope}; expected 0 or more")
    for name, value in (("gain", gain), ("clamp", clamp)):
        if value is not None and not value > 0:
            raise SettingsError(f"{op}: {name} is {value}; expected a number above 0")


def check_features(op: str, x: Tensor) -> None:
    """Refuse anything but floating-point `[N, C, H, W]`."""
    if x.dim() != 4 or not x.is_floating_point():
        raise SettingsError(f"{op}: x is {x.dtype} of shape {list(x.shape)}; expected floating point [N, C, H, W]")


def check_channels(op: str, name: str, values: Tensor, x: Tensor, *, per_sample: bool = False) -> None:
    """Refuse values that are not `[C]` (or, `per_sample`, `[N, C]`) for the features `x`."""
    shapes = [[x.shape[1]], list(x.shape[:2])][: 1 + per_sample]
    if list(values.shape) not in shapes:
        expected = " or ".join(map(str, shapes))
        raise SettingsError(f"{op}: {name} has shape {list(values.shape)}; expected {expected} for x {list(x.shape)}")
    check_device(op, name, values, x)


def check_device(op: str, name: str, tensor: Tensor, x: Tensor) -> None:
    """Refuse a tensor that is on another device than the features `x`."""
    if tensor.device != x.device:
        raise SettingsError(f"{op}: {name} on {tensor.device} and x on {x.device}; move one")


def sum_type(dtype: torch.dtype) -> torch.dtype:
    """Return the type that statistics and sums of `dtype` are kept in: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32
