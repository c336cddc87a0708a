"""A 3x3 convolution with fixed weights, by Winograd's algorithm.

Formula     y[n, k, i, j] = bias[k] + sum over c, a, b of x[n, c, i + a - 1, j + b - 1] * weight[k, c, a, b], with zeros
            outside: `conv2d` with stride 1 and padding 1. Winograd's F(6x6, 3x3) computes tiles of 6 x 6 outputs as
            A^T [sum over c of (G w G^T) * (B^T d B)] A from 64 products in place of 324.
Shapes      x [N, C, H, W], weight [K, C, 3, 3], bias [K], y [N, K, H, W].
Layouts     contiguous and channels_last inputs are read in place, anything else is copied once; y keeps x's layout.
Types       float32, bfloat16. Products and sums are float32 for both.
Gradient    any order for x and bias, by the same algorithm; none for the weights.
Accuracy    errors are about 1e-4 of the result's standard deviation; a direct convolution has 1e-6, in bfloat16 1e-2.
Memory      a `WinogradKernel` holds 512 bytes per pair of channels: 64*C*K floats for each direction.
Repeats     bit for bit, from run to run and for any number of threads.
Source      A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.bias_act import sums_of_channels
from ganart_zoo.ops.checks import check_device, check_pictures, check_shape, check_type
from ganart_zoo.ops.dispatch import InnerOp, own_op
from ganart_zoo.ops.layout import result_format
from ganart_zoo.ops.workloads import shaped

__all__ = ["WinogradKernel", "recovered_weight", "winograd_conv2d", "winograd_kernel"]

_PANEL = 32  # output channels that are adjacent in memory
_AT_ONCE = 16  # input channels that are transformed together: the float64 numbers in between stay in the cache
_TYPES = {"cpu": frozenset({torch.float32, torch.bfloat16})}

# G for the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity.
_TRANSFORM = torch.tensor(
    [
        [1, 0, 0],
        [-2 / 9, -2 / 9, -2 / 9],
        [-2 / 9, 2 / 9, -2 / 9],
        [1 / 90, 2 / 90, 4 / 90],
        [1 / 90, -2 / 90, 4 / 90],
        [32 / 45, 16 / 45, 8 / 45],
        [32 / 45, -16 / 45, 8 / 45],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)


@dataclass(frozen=True)
class WinogradKernel:
    """The weights of a 3x3 convolution, transformed for both directions by `winograd_kernel`."""

    in_channels: int
    out_channels: int
    forward: Tensor
    """`[64, ceil(K / 32), C, 32]`, float32."""
    adjoint: Tensor
    """The same for the gradient, from the flipped weights: `[64, ceil(C / 32), K, 32]`."""


def winograd_kernel(weight: Tensor) -> WinogradKernel:
    """Transform the weights `[K, C, 3, 3]` of a convolution once; later changes of `weight` have no effect.

    Raises:
        SettingsError: `weight` has another shape or is not floating point.
    """
    if weight.dim() != 4 or tuple(weight.shape[2:]) != (3, 3) or 0 in weight.shape or not weight.is_floating_point():
        raise SettingsError(
            f"winograd_kernel: weight is {weight.dtype} of shape {list(weight.shape)}; "
            "expected floating point [K, C, 3, 3], with K and C 1 or more"
        )
    exact = weight.detach().double()
    out_channels, in_channels = weight.shape[:2]
    return WinogradKernel(
        in_channels, out_channels, _transformed(exact), _transformed(exact.flip(2, 3).transpose(0, 1))
    )


def winograd_conv2d(x: Tensor, kernel: WinogradKernel, bias: Tensor | None = None) -> Tensor:
    """Return `conv2d(x, weight, bias, padding=1)` for the weights that `kernel` was made from.

    Args:
        x: `[N, C, H, W]`, float32 or bfloat16.
        kernel: The result of `winograd_kernel(weight)`, on the device of `x`.
        bias: `[K]`, or None for no bias.

    Returns:
        `[N, K, H, W]` of the type of `x`.

    Raises:
        SettingsError: Shapes, types or devices do not fit together.
    """
    check_pictures("winograd_conv2d", x)
    check_type("winograd_conv2d", "x", x, _TYPES["cpu"])
    samples, _, *sides = x.shape
    check_shape("winograd_conv2d", "x", x, [[samples, kernel.in_channels, *sides]])
    check_device("winograd_conv2d", "kernel", kernel.forward, x)
    if bias is not None:
        check_shape("winograd_conv2d", "bias", bias, [[kernel.out_channels]])
        check_device("winograd_conv2d", "bias", bias, x)
        bias = bias.float()
    result: Tensor = _winograd_conv2d(x, kernel.forward, kernel.adjoint, bias, kernel.out_channels)
    return result


def winograd_conv2d_reference(
    x: Tensor, kernel: Tensor, adjoint: Tensor, bias: Tensor | None, out_channels: int
) -> Tensor:
    """Define `winograd_conv2d`: the direct convolution, with the weights recovered from `kernel`."""
    weight = recovered_weight(kernel, out_channels)
    with torch.autocast(x.device.type, enabled=False):
        return functional.conv2d(x.float(), weight.float(), bias, padding=1).to(x.dtype)


def recovered_weight(kernel: Tensor, out_channels: int) -> Tensor:
    """Return the weights `[K, C, 3, 3]` that `kernel` was made from, in float64."""
    back = torch.linalg.pinv(torch.kron(_TRANSFORM, _TRANSFORM)).to(kernel.device)
    points = kernel.double().transpose(1, 2).flatten(2)[..., :out_channels]
    weight: Tensor = (back @ points.flatten(1)).view(3, 3, -1, out_channels).permute(3, 2, 0, 1)
    return weight


def _transformed(weight: Tensor) -> Tensor:
    out_channels, in_channels = weight.shape[:2]
    both_axes = torch.kron(_TRANSFORM, _TRANSFORM).to(weight.device)
    panels = -(-out_channels // _PANEL)
    result = torch.empty((64, panels, in_channels, _PANEL), dtype=torch.float32, device=weight.device)
    for first in range(0, in_channels, _AT_ONCE):
        some = weight[:, first : first + _AT_ONCE].permute(2, 3, 1, 0).reshape(9, -1)
        points = functional.pad((both_axes @ some).view(64, -1, out_channels), (0, -out_channels % _PANEL))
        result[:, :, first : first + _AT_ONCE] = points.view(64, -1, panels, _PANEL).transpose(1, 2)
    return result


_winograd_conv2d = own_op(
    "winograd_conv2d",
    winograd_conv2d_reference,
    _TYPES,
    {
        "small": (shaped(1, 32, 32, 32), shaped(64, 1, 32, 32), shaped(64, 1, 32, 32), shaped(32), 32),
        "standard": (shaped(1, 128, 128, 128), shaped(64, 4, 128, 32), shaped(64, 4, 128, 32), shaped(128), 128),
    },
)
_inner_winograd_conv2d = InnerOp("winograd_conv2d", winograd_conv2d_reference)


# What torch needs to know about the native op: shapes without data, and the derivative.


def _like_result(x: Tensor, kernel: Tensor, adjoint: Tensor, bias: Tensor | None, out_channels: int) -> Tensor:
    samples, _, height, width = x.shape
    result = x.new_empty((samples, out_channels, height, width))
    return torch.empty_like(result, memory_format=torch.contiguous_format if result.numel() == 0 else result_format(x))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, kernel, adjoint, *_ = inputs
    ctx.in_channels = x.shape[1]
    ctx.save_for_backward(kernel, adjoint)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, Tensor | None, None]:
    kernel, adjoint = ctx.saved_tensors
    wanted, _, _, bias_wanted, _ = ctx.needs_input_grad
    # Linear in x: the derivative is the same operation, with kernel and adjoint swapped.
    grad_x = _inner_winograd_conv2d(grad, adjoint, kernel, None, ctx.in_channels) if wanted else None
    grad_bias = sums_of_channels(grad) if bias_wanted else None
    return grad_x, None, None, grad_bias, None


if _winograd_conv2d.loaded:
    torch.library.register_fake("ganart::winograd_conv2d", _like_result)
    _winograd_conv2d.register_autograd(_backward, setup_context=_setup)
