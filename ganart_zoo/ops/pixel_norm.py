"""Pixel norm: each pixel's vector of channels, or each latent, scaled to unit mean square.

Formula     y = x / sqrt(mean over channels of x^2 + eps).
Shapes      x [N, C, ...]; y like x.
Types       float32, bfloat16, float64. Sums are float32 (float64 for float64).
Gradient    any order.
Native      none yet: plain PyTorch on every device, and so no entry in `ops.status()`.
Source      T. Karras et al., "Progressive growing of GANs", ICLR 2018.
"""

from __future__ import annotations

from torch import Tensor

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.activation import sum_type

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
    return pixel_norm_reference(x, eps)


def pixel_norm_reference(x: Tensor, eps: float) -> Tensor:
    """Define `pixel_norm` in plain PyTorch."""
    z = x.to(sum_type(x.dtype))
    return (z * (z.square().mean(1, keepdim=True) + eps).rsqrt()).to(x.dtype)
