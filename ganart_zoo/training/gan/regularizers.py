"""Penalties that stabilise training: on the critic's slope, and on the path lengths of a style generator.

Critic penalties differentiate the mean vote of each picture with respect to the picture, and are differentiable
themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["gradient_penalty", "path_lengths", "slope_penalty", "vote_gradient"]


def vote_gradient(votes: Tensor, images: Tensor) -> Tensor:
    """Return d(mean vote of picture i)/d(picture i), `[n, 3, H, W]`, with a graph of its own.

    Args:
        votes: `[n, k]`, computed from `images` row by row.
        images: `[n, 3, H, W]`, requiring gradients.
    """
    (gradient,) = torch.autograd.grad(votes.mean(dim=1).sum(), images, create_graph=True)
    return gradient


def slope_penalty(votes: Tensor, images: Tensor) -> Tensor:
    """Return half the mean squared slope of the critic: R1 over real pictures, R2 over generated ones.

    `0.5 * mean_i |d vote_i / d image_i|^2`, the square summed over channels and pixels. Mescheder et al. 2018,
    https://arxiv.org/abs/1801.04406.
    """
    return 0.5 * vote_gradient(votes, images).square().sum(dim=(1, 2, 3)).mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Return the mean squared distance of the critic's slope from 1, between real and generated pictures.

    `mean_i (|d vote / d x_i| - 1)^2` at `x_i = mix_i * real_i + (1 - mix_i) * fake_i`. Gulrajani et al. 2017 (WGAN-GP),
    https://arxiv.org/abs/1704.00028.

    Args:
        critic: Pictures `[n, 3, H, W]` to votes `[n, k]`.
        real: `[n, 3, H, W]`.
        fake: `[n, 3, H, W]`.
        mix: `[n]` in 0..1.
    """
    between = fake.detach().lerp(real.detach(), mix.view(-1, 1, 1, 1).to(real)).requires_grad_(True)
    gradient = vote_gradient(critic(between), between)
    slopes: Tensor = gradient.flatten(1).norm(dim=1)
    return (slopes - 1).square().mean()


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """Return how far each picture moves along random directions when its style does, `[n]`, differentiable.

    `sqrt(mean over layers of |J^T y|^2)` with `y = noise / sqrt(H * W)`. Path-length regularization is the mean squared
    distance of these lengths from their running mean. Karras et al. 2020, https://arxiv.org/abs/1912.04958, appendix B.

    Args:
        images: `[n, 3, H, W]`, computed from `ws` row by row.
        ws: `[n, num_ws, w_dim]`, requiring gradients.
        noise: `[n, 3, H, W]`, standard normal.
    """
    pixels = images.shape[-2] * images.shape[-1]
    (gradient,) = torch.autograd.grad((images * noise).sum() / math.sqrt(pixels), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
