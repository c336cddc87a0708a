"""Argument checks that the ops share. Each raises a `SettingsError` with the op, the argument and what was expected."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import get_args

import torch
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError, did_you_mean
from ganart_zoo.ops.activation import Activation

__all__ = [
    "check_above_zero",
    "check_activation",
    "check_channels",
    "check_device",
    "check_divisor",
    "check_factor",
    "check_features",
    "check_pictures",
    "check_shape",
    "check_taps",
    "check_type",
]

_ACTIVATIONS = get_args(Activation)


def check_features(op: str, x: Tensor) -> None:
    """Refuse anything but floating-point `[N, C, ...]`."""
    if x.dim() < 2 or not x.is_floating_point():
        raise SettingsError(f"{op}: x {_described(x)}; expected floating point [N, C, ...]")


def check_pictures(op: str, x: Tensor, name: str = "x") -> None:
    """Refuse anything but floating-point `[N, C, H, W]`."""
    if x.dim() != 4 or not x.is_floating_point():
        raise SettingsError(f"{op}: {name} {_described(x)}; expected floating point [N, C, H, W]")


def check_shape(
    op: str,
    name: str,
    tensor: Tensor,
    shapes: Sequence[Sequence[int]],
    like: Tensor | None = None,
    like_name: str = "x",
) -> None:
    """Refuse a shape that is none of `shapes`; they follow from that of `like`, which the error names too."""
    shape = tuple(tensor.shape)
    for allowed in shapes:
        if shape == tuple(allowed):
            return
    *most, last = [str(list(allowed)) for allowed in shapes]
    expected = f"{', '.join(most)} or {last}" if most else last
    cause = "" if like is None else f" for {like_name} {list(like.shape)}"
    raise SettingsError(f"{op}: {name} has shape {list(shape)}; expected {expected}{cause}")


def check_channels(op: str, name: str, values: Tensor, x: Tensor, *, per_sample: bool = False) -> None:
    """Refuse values that are not `[C]` (or, `per_sample`, `[N, C]`) for the features `x`, or not on their device."""
    shape = x.shape
    check_shape(op, name, values, (shape[1:2], shape[:2]) if per_sample else (shape[1:2],), x)
    check_device(op, name, values, x)


def check_type(op: str, name: str, tensor: Tensor, dtypes: Collection[torch.dtype], hint: str = "") -> None:
    """Refuse a tensor whose dtype is none of `dtypes`; `hint` may say where the right one comes from."""
    if tensor.dtype not in dtypes:
        expected = " or ".join(sorted(map(str, dtypes)))
        raise SettingsError(f"{op}: {name} is {tensor.dtype}; expected {expected}{f', {hint}' if hint else ''}")


def check_device(op: str, name: str, tensor: Tensor, other: Tensor, other_name: str = "x") -> None:
    """Refuse a tensor that is on another device than `other`."""
    if tensor.device != other.device:
        raise SettingsError(f"{op}: {name} is on {tensor.device} and {other_name} on {other.device}; move one")


def check_above_zero(op: str, name: str, value: float | None) -> None:
    """Refuse a number that is not above 0, and NaN; None passes."""
    if value is not None and not value > 0:
        raise SettingsError(f"{op}: {name} is {value}; expected a number above 0")


def check_divisor(op: str, name: str, value: int, total: int, of: str) -> None:
    """Refuse a number that is below 1 or does not divide `total`; `of` says what the total counts."""
    if value < 1 or total % value:
        raise SettingsError(f"{op}: {name} is {value}; expected a divisor of {of}")


def check_activation(
    op: str, act: str, negative_slope: float, gain: float | None = None, clamp: float | None = None
) -> None:
    """Refuse an unknown activation, and parameters with which an output's sign would not show its input's."""
    if act not in _ACTIVATIONS:
        near = did_you_mean(str(act), _ACTIVATIONS)
        raise SettingsError(f"{op}: act is {act!r}; expected one of {', '.join(_ACTIVATIONS)}{near}")
    if not negative_slope >= 0:
        raise SettingsError(f"{op}: negative_slope is {negative_slope}; expected 0 or more")
    check_above_zero(op, "gain", gain)
    check_above_zero(op, "clamp", clamp)


def check_factor(op: str, name: str, factor: int) -> None:
    """Refuse a factor of resampling or a stride that is not one int of 1 or more, the same for both axes."""
    if not isinstance(factor, int) or factor < 1:
        raise SettingsError(f"{op}: {name} is {factor!r}; expected an int of 1 or more")


def check_taps(op: str, taps: Tensor) -> None:
    """Refuse filter taps that are not floating-point `[K]` or `[KH, KW]`."""
    if taps.dim() not in (1, 2) or taps.numel() == 0 or not taps.is_floating_point():
        raise SettingsError(
            f"{op}: taps are {taps.dtype} of shape {list(taps.shape)}; expected floating point [K] or [KH, KW]"
        )


def _described(tensor: Tensor) -> str:
    return f"is {tensor.dtype} of shape {list(tensor.shape)}"
