"""A 3x3 convolution with fixed weights, by Winograd's algorithm.

Formula     y[n, k, i, j] = bias[k] + sum over c, a, b of x[n, c, i + a - 1, j + b - 1] * weight[k, c, a, b], with zeros
            outside: `conv2d` with stride 1 and padding 1. With `relu`, the larger of that and 0. Winograd's
            F(6x6, 3x3) computes tiles of 6 x 6 outputs as A^T [sum over c of (G w G^T) * (B^T d B)] A from 64 products
            in place of 324. With a kernel in bfloat16, F(4x4, 3x3) computes tiles of 4 x 4 from 36 in place of 144,
            which are dot products of bfloat16.
Shapes      x [N, C, H, W], weight [K, C, 3, 3], bias [K], y [N, K, H, W].
Layouts     contiguous and channels_last inputs are read in place, anything else is copied once; y keeps x's layout.
Types       float32, bfloat16. Sums are float32, and so are products unless the kernel is in bfloat16.
Gradient    any order for x and bias, by the same algorithm; none for the weights.
Accuracy    errors are about 1e-4 of the result's standard deviation, with a kernel in bfloat16 1e-2 (root mean square;
            rounding the result to bfloat16 has 2e-3). A direct convolution in float32 has 1e-6.
Memory      a `WinogradKernel` holds 256 bytes per pair of channels, in bfloat16 72, for both directions: the gradient's
            points are those of the convolution in another order.
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
from ganart_zoo.ops.conv3x3 import like_convolved, masked
from ganart_zoo.ops.dispatch import InnerOp, own_op
from ganart_zoo.ops.workloads import shaped

__all__ = ["WinogradKernel", "recovered_weight", "winograd_conv2d", "winograd_kernel"]

_PANEL = 32  # output channels that are adjacent in memory
_AT_ONCE = 16  # input channels that are transformed together: the float64 numbers in between stay in the cache
_TYPES = {"cpu": frozenset({torch.float32, torch.bfloat16})}

# G for the points 0, 1, -1, 2, -2, 1/2, -1/2 and infinity. Scales are such that mirrored points have mirrored rows.
_SIX = torch.tensor(
    [
        [1, 0, 0],
        [-2 / 9, -2 / 9, -2 / 9],
        [-2 / 9, 2 / 9, -2 / 9],
        [2 / 45, 4 / 45, 8 / 45],
        [2 / 45, -4 / 45, 8 / 45],
        [8 / 45, 4 / 45, 2 / 45],
        [8 / 45, -4 / 45, 2 / 45],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
# The same for 0, 2/3, -2/3, 3/2, -3/2 and infinity.
_FOUR = torch.tensor(
    [
        [1, 0, 0],
        [27 / 65, 18 / 65, 12 / 65],
        [27 / 65, -18 / 65, 12 / 65],
        [12 / 65, 18 / 65, 27 / 65],
        [12 / 65, -18 / 65, 27 / 65],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
_TRANSFORMS = {torch.float32: _SIX, torch.bfloat16: _FOUR}


@dataclass(frozen=True)
class WinogradKernel:
    """The weights of a 3x3 convolution, transformed by `winograd_kernel`: for the convolution and its gradient."""

    in_channels: int
    out_channels: int
    points: Tensor
    """`[64, ceil(K / 32), C, 32]`, float32, or `[36, ceil(K / 32), ceil(C / 2), 32, 2]`, bfloat16."""


def winograd_kernel(weight: Tensor, dtype: torch.dtype = torch.float32) -> WinogradKernel:
    """Transform the weights `[K, C, 3, 3]` of a convolution once; later changes of `weight` have no effect.

    Args:
        weight: Floating point, of any type.
        dtype: float32, or bfloat16 for features in bfloat16: faster and smaller where the processor has dot products
            of bfloat16, and less accurate.

    Raises:
        SettingsError: `weight` has another shape or is not floating point, or dtype is another one.
    """
    if weight.dim() != 4 or tuple(weight.shape[2:]) != (3, 3) or 0 in weight.shape or not weight.is_floating_point():
        raise SettingsError(
            f"winograd_kernel: weight is {weight.dtype} of shape {list(weight.shape)}; "
            "expected floating point [K, C, 3, 3], with K and C 1 or more"
        )
    if dtype not in _TRANSFORMS:
        raise SettingsError(f"winograd_kernel: dtype is {dtype}; expected torch.float32 or torch.bfloat16")
    out_channels, in_channels = weight.shape[:2]
    return WinogradKernel(in_channels, out_channels, _transformed(weight.detach(), dtype))


def winograd_conv2d(x: Tensor, kernel: WinogradKernel, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """Return `conv2d(x, weight, bias, padding=1)` for the weights that `kernel` was made from.

    Args:
        x: `[N, C, H, W]`, float32 or bfloat16.
        kernel: The result of `winograd_kernel(weight)`, on the device of `x`; in float32, or of the type of `x`.
        bias: `[K]`, or None for no bias.
        relu: Return the ReLU of that. The gradient needs the result, which must not be changed in place.

    Returns:
        `[N, K, H, W]` of the type of `x`.

    Raises:
        SettingsError: Shapes, types or devices do not fit together.
    """
    check_pictures("winograd_conv2d", x)
    check_type("winograd_conv2d", "x", x, _TYPES["cpu"])
    samples, _, *sides = x.shape
    check_shape("winograd_conv2d", "x", x, [[samples, kernel.in_channels, *sides]])
    check_device("winograd_conv2d", "kernel", kernel.points, x)
    check_type("winograd_conv2d", "kernel", kernel.points, frozenset({torch.float32, x.dtype}))
    if bias is not None:
        check_shape("winograd_conv2d", "bias", bias, [[kernel.out_channels]])
        check_device("winograd_conv2d", "bias", bias, x)
        bias = bias.float()
    result: Tensor = _winograd_conv2d(x, kernel.points, bias, kernel.out_channels, False, relu, None)
    return result


def winograd_conv2d_reference(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    out_channels: int,
    turned: bool,
    relu: bool,
    mask: Tensor | None,
) -> Tensor:
    """Define `winograd_conv2d` or, if `turned`, its gradient: the direct convolution, with the weights recovered.

    Where `mask`, of the shape of x, is 0 or less, x counts as 0.
    """
    ends = (x.shape[1], out_channels)
    weight = recovered_weight(kernel, *(ends[::-1] if turned else ends)).float()
    convolve = functional.conv_transpose2d if turned else functional.conv2d
    with torch.autocast(x.device.type, enabled=False):
        result = convolve(masked(x, mask).float(), weight, bias, padding=1).to(x.dtype)
    return result.relu() if relu else result


def recovered_weight(kernel: Tensor, in_channels: int, out_channels: int) -> Tensor:
    """Return the weights `[K, C, 3, 3]` that `kernel` was made from, in float64."""
    transform = _TRANSFORMS[kernel.dtype]
    back = torch.linalg.pinv(torch.kron(transform, transform)).to(kernel.device)
    points = kernel.double().transpose(1, 2)  # [points, C, panels, 32], or with pairs of channels
    if kernel.dim() == 5:
        points = points.movedim(4, 2).flatten(1, 2)
    points = points.flatten(2)[:, :in_channels, :out_channels]
    weight: Tensor = (back @ points.flatten(1)).view(3, 3, in_channels, out_channels).permute(3, 2, 0, 1)
    return weight


def _transformed(weight: Tensor, dtype: torch.dtype) -> Tensor:
    out_channels, in_channels = weight.shape[:2]
    transform = _TRANSFORMS[dtype]
    both_axes = torch.kron(transform, transform).to(weight.device)
    panels, pair = -(-out_channels // _PANEL), 2 if dtype == torch.bfloat16 else 1
    shape = (len(both_axes), panels, -(-in_channels // pair), _PANEL, pair)
    result = torch.empty(shape, dtype=dtype, device=weight.device)
    for first in range(0, in_channels, _AT_ONCE):
        some = weight[:, first : first + _AT_ONCE].double()
        some = functional.pad(some, (0, 0, 0, 0, 0, some.shape[1] % pair, 0, -out_channels % _PANEL))
        points = (both_axes @ some.permute(2, 3, 1, 0).reshape(9, -1)).view(len(both_axes), -1, pair, panels, _PANEL)
        result[:, :, first // pair : (first + _AT_ONCE) // pair] = points.permute(0, 3, 1, 4, 2)
    return result if pair > 1 else result.squeeze(4)


_winograd_conv2d = own_op(
    "winograd_conv2d",
    winograd_conv2d_reference,
    _TYPES,
    {
        "small": (shaped(1, 32, 32, 32), shaped(64, 1, 32, 32), shaped(32), 32, False, False, None),
        "standard": (shaped(1, 128, 128, 128), shaped(64, 4, 128, 32), shaped(128), 128, False, False, None),
    },
)
_inner_winograd_conv2d = InnerOp("winograd_conv2d", winograd_conv2d_reference)


# What torch needs to know about the native op: shapes without data, and the derivative.


def _like_result(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    out_channels: int,
    turned: bool,
    relu: bool,
    mask: Tensor | None,
) -> Tensor:
    return like_convolved(x, mask, out_channels)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, kernel, _, _, ctx.turned, relu, mask = inputs
    ctx.in_channels = x.shape[1]
    ctx.save_for_backward(kernel, mask, output if relu else None)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    kernel, mask, result = ctx.saved_tensors
    wanted, _, bias_wanted, *_ = ctx.needs_input_grad
    # Linear in x: the derivative is the same operation, turned; a mask before it comes after it, and a ReLU's result
    # is a mask before the derivative.
    grad_x = None
    if wanted:
        turned = _inner_winograd_conv2d(grad, kernel, None, ctx.in_channels, not ctx.turned, False, result)
        grad_x = masked(turned, mask)
    grad_bias = sums_of_channels(masked(grad, result)) if bias_wanted else None
    return grad_x, None, grad_bias, *[None] * 4


if _winograd_conv2d.loaded:
    torch.library.register_fake("ganart::winograd_conv2d", _like_result)
    _winograd_conv2d.register_autograd(_backward, setup_context=_setup)
