"""Upsampling, FIR filtering and downsampling of pictures and features.

Formula     1. insert up - 1 zeros after each pixel; 2. pad with zeros, or crop where padding is negative;
            3. convolve with the taps, keeping whole overlaps only (`flip=True`: correlate); 4. keep every down-th
            pixel. Each axis has its own factors, and the result is multiplied by gain.
Shapes      x [N, C, H, W]; taps [K], used along both axes, or [KH, KW];
            y [N, C, (H*up + y0 + y1 - KH) // down + 1, (W*up + x0 + x1 - KW) // down + 1].
Layouts     contiguous and channels_last inputs are read in place, anything else is copied once; y keeps x's layout.
Types       float32, bfloat16, float64, and float16 on CUDA. Taps and sums are float32 (float64 for float64), rounded
            once at the end.
Gradient    any order for x: the gradient is again an upfirdn2d. The taps are constants and get no gradient.
Repeats     bit for bit, from run to run and for any number of threads.
Source      T. Karras et al., StyleGAN2 (CVPR 2020) and StyleGAN3 (NeurIPS 2021), whose conventions these are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.checks import check_device, check_factor, check_pictures, check_taps
from ganart_zoo.ops.dispatch import InnerOp, own_op
from ganart_zoo.ops.dtypes import NATIVE_TYPES, sum_type
from ganart_zoo.ops.workloads import shaped

__all__ = ["blur", "downsample2d", "upfirdn2d", "upsample2d"]

Factor = int | tuple[int, int]
Padding = int | tuple[int, int] | tuple[int, int, int, int]


def upfirdn2d(
    x: Tensor,
    taps: Tensor,
    *,
    up: Factor = 1,
    down: Factor = 1,
    padding: Padding = 0,
    gain: float = 1.0,
    flip: bool = False,
) -> Tensor:
    """Upsample by zero insertion, pad or crop, filter, and downsample, in one pass that never multiplies by a zero.

    Args:
        x: `[N, C, H, W]`, floating point.
        taps: `[K]`, applied along both axes, or `[KH, KW]`; not normalised: taps that sum to 1 keep the brightness.
        up: Upsampling factor, or `(x, y)`.
        down: Downsampling factor, or `(x, y)`.
        padding: Pixels of the upsampled picture to add at each side, negative to remove: one number, `(x, y)` or
            `(x0, x1, y0, y1)`.
        gain: Factor of the result.
        flip: False convolves, True correlates (no flip of the taps).

    Returns:
        `[N, C, OH, OW]` with x's dtype and layout.

    Raises:
        SettingsError: An argument is out of its range, or the padded picture is smaller than the taps.
    """
    up, down = factor_pair("upfirdn2d", "up", up), factor_pair("upfirdn2d", "down", down)
    sides = padding_sides("upfirdn2d", padding)
    check_taps("upfirdn2d", taps)
    return _filtered(x, taps, up, down, sides, gain, flip)


def _filtered(
    x: Tensor,
    taps: Tensor,
    up: tuple[int, int],
    down: tuple[int, int],
    padding: tuple[int, int, int, int],
    gain: float,
    flip: bool,
) -> Tensor:
    """Run the op; the taps and the geometry have been checked."""
    check_pictures("upfirdn2d", x)
    check_device("upfirdn2d", "taps", taps, x)
    if min(output_size(x.shape[-2:], taps.shape, up, down, padding)) < 1:
        raise SettingsError(
            f"upfirdn2d: padding {list(padding)} and up {list(up)} leave x {list(x.shape)} smaller than "
            f"taps {list(taps.shape)}; pad more"
        )
    dtype = sum_type(x.dtype)
    taps = taps.detach() if taps.dtype == dtype else taps.detach().to(dtype)
    y: Tensor = _upfirdn2d(x, taps, list(up), list(down), list(padding), float(gain), flip)
    return y


def blur(x: Tensor, taps: Tensor, *, padding: Padding = 0, gain: float = 1.0, flip: bool = False) -> Tensor:
    """Filter x and keep its size, apart from `padding`, which is added; arguments as for `upfirdn2d`."""
    sides = resampling_padding("blur", taps, padding, up=1, down=1)
    return _filtered(x, taps, (1, 1), (1, 1), sides, gain, flip)


def upsample2d(
    x: Tensor, taps: Tensor, *, up: int = 2, padding: Padding = 0, gain: float = 1.0, flip: bool = False
) -> Tensor:
    """Enlarge x exactly `up` times, apart from `padding`, and keep its brightness; arguments as for `upfirdn2d`."""
    sides = resampling_padding("upsample2d", taps, padding, up=up, down=1)
    return _filtered(x, taps, (up, up), (1, 1), sides, gain * up**2, flip)


def downsample2d(
    x: Tensor, taps: Tensor, *, down: int = 2, padding: Padding = 0, gain: float = 1.0, flip: bool = False
) -> Tensor:
    """Shrink x to 1/`down` of its size, apart from `padding`; arguments as for `upfirdn2d`."""
    sides = resampling_padding("downsample2d", taps, padding, up=1, down=down)
    return _filtered(x, taps, (1, 1), (down, down), sides, gain, flip)


def upfirdn2d_reference(
    x: Tensor, taps: Tensor, up: Sequence[int], down: Sequence[int], padding: Sequence[int], gain: float, flip: bool
) -> Tensor:
    """Define `upfirdn2d` in plain PyTorch, step by step."""
    samples, channels, height, width = x.shape
    (up_x, up_y), (down_x, down_y), (x0, x1, y0, y1) = up, down, padding
    y = x.reshape(samples, channels, height, 1, width, 1)
    y = F.pad(y, [0, up_x - 1, 0, 0, 0, up_y - 1]).reshape(samples, channels, height * up_y, width * up_x)
    y = F.pad(y, [max(side, 0) for side in (x0, x1, y0, y1)])
    y = F.pad(y, [min(side, 0) for side in (x0, x1, y0, y1)])  # a second call, since a crop may go beyond the picture
    taps = taps.to(x.dtype) if flip else taps.to(x.dtype).flip(list(range(taps.dim())))
    rows, columns = (taps[:, None], taps[None, :]) if taps.dim() == 1 else (taps, None)
    for kernel in (rows, columns):
        if kernel is not None:
            with torch.autocast(x.device.type, enabled=False):
                y = F.conv2d(y, kernel.expand(channels, 1, *kernel.shape), groups=channels)
    y = y[:, :, ::down_y, ::down_x]
    return y if gain == 1 else y * gain


def factor_pair(op: str, name: str, factor: Factor) -> tuple[int, int]:
    """Return a factor as `(x, y)`."""
    pair = (factor, factor) if isinstance(factor, int) else tuple(factor) if isinstance(factor, Sequence) else ()
    if len(pair) != 2 or not all(isinstance(value, int) and value >= 1 for value in pair):
        raise SettingsError(f"{op}: {name} is {factor!r}; expected an int of 1 or more, or two as (x, y)")
    return pair


def padding_sides(op: str, padding: Padding) -> tuple[int, int, int, int]:
    """Return a padding as `(x0, x1, y0, y1)`."""
    given = padding if isinstance(padding, Sequence) else (padding,)
    sides = tuple(map(_plain_int, given))
    if len(sides) not in (1, 2, 4) or not all(isinstance(side, int) for side in sides):
        raise SettingsError(f"{op}: padding is {padding!r}; expected an int, (x, y) or (x0, x1, y0, y1)")
    if len(sides) == 4:
        return sides
    return sides[0], sides[0], sides[-1], sides[-1]


def _plain_int(size: Any) -> Any:
    """Return a size as an int: torch.jit.trace computes with sizes as tensors, and with paddings that follow."""
    traced = isinstance(size, Tensor) and size.dim() == 0 and not size.is_floating_point()
    return int(size) if traced else size


def resampling_padding(op: str, taps: Tensor, padding: Padding, *, up: int, down: int) -> tuple[int, int, int, int]:
    """Return the padding with which resampling keeps a picture centred and scales it exactly, plus `padding`."""
    check_taps(op, taps)
    check_factor(op, "up", up)
    check_factor(op, "down", down)
    x0, x1, y0, y1 = padding_sides(op, padding)
    height, width = map(_plain_int, (taps.shape[0], taps.shape[-1]))
    more, less = up - down, up + down - 1
    return x0 + (width + more) // 2, x1 + (width - less) // 2, y0 + (height + more) // 2, y1 + (height - less) // 2


def output_size(
    size: Sequence[int],
    taps: Sequence[int],
    up: Sequence[int],
    down: Sequence[int],
    padding: Sequence[int],
) -> tuple[int, int]:
    """Return the output's `(height, width)` for an input's; 0 or less where the taps do not fit."""
    x0, x1, y0, y1 = padding
    height = (size[0] * up[1] + y0 + y1 - taps[0]) // down[1] + 1
    width = (size[1] * up[0] + x0 + x1 - taps[-1]) // down[0] + 1
    return height, width


# What torch needs to know about the native op: shapes without data, and derivatives.

_upfirdn2d = own_op(
    "upfirdn2d",
    upfirdn2d_reference,
    NATIVE_TYPES,
    {
        "small": (shaped(1, 16, 32, 32), shaped(4), [2, 2], [1, 1], [2, 1, 2, 1], 4.0, False),
        "standard": (shaped(8, 64, 64, 64), shaped(4), [2, 2], [1, 1], [2, 1, 2, 1], 4.0, False),
    },
)
_inner_upfirdn2d = InnerOp("upfirdn2d", upfirdn2d_reference)


def _like_output(
    x: Tensor, taps: Tensor, up: Sequence[int], down: Sequence[int], padding: Sequence[int], gain: float, flip: bool
) -> Tensor:
    sizes = output_size(x.shape[-2:], taps.shape, up, down, padding)
    last = x.shape[1] > 1 and x.stride(1) == 1 and x.stride(3) == x.shape[1]
    format = torch.channels_last if last else torch.contiguous_format
    return torch.empty((*x.shape[:2], *sizes), dtype=x.dtype, device=x.device, memory_format=format)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, taps, *ctx.settings = inputs
    ctx.size, ctx.output_size = x.shape[-2:], output.shape[-2:]
    ctx.save_for_backward(taps)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """Run the transposed map: up and down are swapped, the taps flipped, and padding completes the overlaps."""
    (taps,) = ctx.saved_tensors
    (up_x, up_y), (down_x, down_y), (x0, _, y0, _), gain, flip = ctx.settings
    (height, width), (out_height, out_width) = ctx.size, ctx.output_size
    if 0 in ctx.size:  # the kernels compute results of at least one pixel
        return grad.flatten(2)[..., :0].reshape(*grad.shape[:2], *ctx.size), *[None] * 6
    padding = []
    for size, out, count, up, down, before in (
        (width, out_width, taps.shape[-1], up_x, down_x, x0),
        (height, out_height, taps.shape[0], up_y, down_y, y0),
    ):
        padding += [count - 1 - before, size * up - out * down + before - up + 1]
    grad_x = _inner_upfirdn2d(grad, taps, [down_x, down_y], [up_x, up_y], padding, gain, not flip)
    return grad_x, *[None] * 6


if _upfirdn2d.loaded:
    torch.library.register_fake("ganart::upfirdn2d", _like_output)
    _upfirdn2d.register_autograd(_backward, setup_context=_setup)
