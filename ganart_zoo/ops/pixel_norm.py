"""Pixel norm: each pixel's vector of channels, or each latent, scaled to unit mean square.

Formula     y = x / sqrt(mean over channels of x^2 + eps).
Shapes      x [N, C, ...]; y like x.
Layouts     contiguous and channels_last are read where they are, anything else is copied once; y keeps x's layout.
Types       float32, bfloat16, float64. Sums are float32 (float64 for float64).
Gradient    any order.
Repeats     bit for bit, from run to run and for any number of threads.
Source      T. Karras et al., "Progressive growing of GANs", ICLR 2018.
"""

from __future__ import annotations

from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.activation import sum_type
from ganart_zoo.ops.dispatch import NativeOp

__all__ = ["pixel_norm"]


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Scale x so that its mean square over the channels is 1.

    Args:
        x: `[N, C, ...]`, floating point: features or latents.
        eps: What is added to the mean square, above 0.

    Returns:
        Like `x`.

    Raises:
        SettingsError: `eps` is out of its range, or x has no channels.
    """
    if x.dim() < 2 or not x.is_floating_point():
        raise SettingsError(f"pixel_norm: x is {x.dtype} of shape {list(x.shape)}; expected floating point [N, C, ...]")
    if not eps > 0:
        raise SettingsError(f"pixel_norm: eps is {eps}; expected a number above 0")
    y: Tensor = _pixel_norm(x, float(eps))
    return y


def pixel_norm_reference(x: Tensor, eps: float) -> Tensor:
    """Define `pixel_norm` in plain PyTorch."""
    z = x.to(sum_type(x.dtype))
    return (z * (z.square().mean(1, keepdim=True) + eps).rsqrt()).to(x.dtype)


_pixel_norm = NativeOp("ganart::pixel_norm", reference=pixel_norm_reference, library=None, missing="not written yet")
