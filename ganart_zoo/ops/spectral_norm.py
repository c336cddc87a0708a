"""Spectral normalisation of a network's weights, with one power iteration for all its layers together.

Formula     each weight W, as a matrix [O, rest], is used as W / s, s = u^T W v, with u and v its leading singular
            vectors; in training each forward of the network first sets v = W^T u / |W^T u| and u = W v / |W v|.
Types       those of the weights; autocast, which would round the vectors, is disabled.
Gradient    any order through W / s; u and v are constants, as in the paper.
Native      plain PyTorch: two matrix-vector products per layer, and one normalisation for all layers together. The
            products are bound by reading each weight once: stacking layers of equal shape for one torch.bmm took 50
            times as long on CPU (8 of 64 x 576), and saved a fifth only for layers of a few thousand weights.
Source      T. Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F  # noqa: N812  torch's own abbreviation
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.checks import check_above_zero

__all__ = ["spectral_norm"]

Network = TypeVar("Network", bound=nn.Module)

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_STARTING_ITERATIONS = 15  # so that the first step already divides by nearly the norm


def spectral_norm(network: Network, *, eps: float = 1e-12) -> Network:
    """Divide the weight of every linear and convolution layer of a network by its largest singular value.

    The vectors are buffers, so checkpoints carry them. They advance once per forward of `network` itself while it is
    training, never in eval mode. Parametrizations are torch's: `parametrize.remove_parametrizations` bakes a weight.

    Args:
        network: Changed in place; layers that are already normalised are not changed.
        eps: The smallest norm that a vector is divided by; above 0.

    Returns:
        `network`.

    Raises:
        SettingsError: `eps` is out of its range, or there is no layer to normalise.
    """
    check_above_zero("spectral_norm", "eps", eps)
    added = []
    for layer in [module for module in network.modules() if isinstance(module, _LAYERS)]:
        if not _is_normalised(layer):
            norm = _SpectralNorm(layer.weight, 1 if isinstance(layer, _TRANSPOSED) else 0)
            _iterate([norm.matrix(layer.weight)], [norm], eps, _STARTING_ITERATIONS)
            parametrize.register_parametrization(layer, "weight", norm)
            added.append(layer)
    if not added:
        raise SettingsError(
            f"spectral_norm: {type(network).__name__} has no linear or convolution layer left to normalise"
        )
    network.register_forward_pre_hook(_PowerIteration(added, eps))
    return network


class _SpectralNorm(nn.Module):
    """Divides a weight by its spectral norm, which its two vectors estimate."""

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor, output_dim: int) -> None:
        super().__init__()
        self.output_dim = output_dim
        rows, columns = self.matrix(weight).shape
        self.register_buffer("left", torch.randn(rows, dtype=weight.dtype, device=weight.device))
        self.register_buffer("right", torch.empty(columns, dtype=weight.dtype, device=weight.device))

    def matrix(self, weight: Tensor) -> Tensor:
        """Return the weight as `[O, rest]`."""
        return weight.detach().transpose(0, self.output_dim).flatten(1)

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.transpose(0, self.output_dim).flatten(1)
        with torch.autocast(weight.device.type, enabled=False):
            return weight / torch.dot(self.left, matrix @ self.right)


def spectral_norm_reference(weight: Tensor, left: Tensor, eps: float, output_dim: int = 0) -> tuple[Tensor, ...]:
    """Define a training step for one weight: return the weight divided by its norm, and the new vectors u and v."""
    matrix = weight.transpose(0, output_dim).flatten(1)
    with torch.no_grad():
        right = F.normalize(matrix.t() @ left, dim=0, eps=eps)
        left = F.normalize(matrix @ right, dim=0, eps=eps)
    return weight / (left @ matrix @ right), left, right


class _PowerIteration:
    """Advances the vectors of all layers by one step before each forward of their network in training."""

    def __init__(self, layers: Sequence[nn.Module], eps: float) -> None:
        self.layers = layers  # so that a deep copy of the network gets a hook on the copied layers
        self.eps = eps

    def __call__(self, network: nn.Module, inputs: object) -> None:
        if not network.training:
            return
        lists = [cast(Any, layer).parametrizations.weight for layer in self.layers if _is_normalised(layer)]
        norms = [next(norm for norm in each if isinstance(norm, _SpectralNorm)) for each in lists]
        matrices = [norm.matrix(each.original) for norm, each in zip(norms, lists, strict=True)]
        _iterate(matrices, norms, self.eps, 1)


def _is_normalised(layer: nn.Module) -> bool:
    return parametrize.is_parametrized(layer, "weight") and any(
        isinstance(norm, _SpectralNorm) for norm in cast(Any, layer).parametrizations.weight
    )


@torch.no_grad()
def _iterate(matrices: list[Tensor], norms: list[_SpectralNorm], eps: float, iterations: int) -> None:
    with torch.autocast(matrices[0].device.type, enabled=False):
        for _ in range(iterations):
            right = _normalized([matrix.t() @ norm.left for matrix, norm in zip(matrices, norms, strict=True)], eps)
            left = _normalized([matrix @ vector for matrix, vector in zip(matrices, right, strict=True)], eps)
            for norm, u, v in zip(norms, left, right, strict=True):
                norm.left, norm.right = u, v  # new tensors: an earlier forward's graph may hold the old ones


def _normalized(vectors: list[Tensor], eps: float) -> list[Tensor]:
    lengths = torch._foreach_norm(vectors)
    torch._foreach_clamp_min_(lengths, eps)
    return list(torch._foreach_div(vectors, lengths))
