"""1x1 convolutions from and to the few channels of a picture, as products whose factors are in the fast order.

The vendor library's gradients of such thin convolutions, and its convolutions to few channels, take two to seven times
as long as these. Derivatives of any order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganart_zoo.ops.dispatch import is_transformed

__all__ = ["PICTURE_CHANNELS", "conv2d_of_picture", "conv2d_to_picture", "is_of_picture"]

PICTURE_CHANNELS = 4
"""Red, green, blue and perhaps opacity."""


def is_of_picture(x: Tensor, weight: Tensor) -> bool:
    """Return whether this is a 1x1 convolution of a picture that `conv2d_of_picture` computes faster."""
    return (
        weight.shape[1] <= PICTURE_CHANNELS < weight.shape[0]
        and weight.shape[2:] == (1, 1)
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.is_contiguous(memory_format=torch.channels_last)
        and not (torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or is_transformed(x, weight))
    )


def conv2d_of_picture(x: Tensor, weight: Tensor) -> Tensor:
    """Return `conv2d(x, weight)` `[N, O, H, W]` in channels_last, for arguments for which `is_of_picture`."""
    pixels: Tensor = _OfPicture.apply(x.flatten(2), weight.flatten(1).t())  # type: ignore[no-untyped-call]
    pictures: Tensor = pixels.unflatten(1, x.shape[2:])
    return pictures.permute(0, 3, 1, 2)


def conv2d_to_picture(x: Tensor, weights: Tensor) -> Tensor:
    """Return 1x1 convolutions of x `[N, I, H, W]` with a weight a sample, `[N, O, I]`: `[N, O, H, W]`, contiguous."""
    pictures: Tensor = torch.bmm(weights, x.flatten(2)).unflatten(2, x.shape[2:])
    return pictures


class _OfPicture(torch.autograd.Function):
    """Pixels `[N, P, O]` of pictures `[N, I, P]` and a weight `[I, O]`, of which I is small."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        return torch.bmm(x.transpose(1, 2), weight.expand(len(x), -1, -1))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_x = _ToPicture.apply(grad, weight) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        return grad_x, torch.bmm(x, grad).sum(0) if ctx.needs_input_grad[1] else None


class _ToPicture(torch.autograd.Function):
    """The gradient of `_OfPicture` for the pictures: `[N, I, P]` of `[N, P, O]`."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        return torch.bmm(weight.expand(len(x), -1, -1), x.transpose(1, 2))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_x = _OfPicture.apply(grad, weight) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        return grad_x, torch.bmm(grad, x).sum(0) if ctx.needs_input_grad[1] else None
