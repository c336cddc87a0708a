"""Fixed random mixing of a backbone's features: over channels, then from deep scales into shallow ones.

Sauer et al. 2021, "Projected GANs Converge Faster", https://arxiv.org/abs/2111.01007, section 3.2. Nothing here is
trained; the weights are buffers, so that they are saved with the critic and keep their initial values.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_zoo import ops

__all__ = ["RandomMixing"]

_EPSILON = 1e-6


class _RandomConvolution(nn.Module):
    """A convolution with fixed random weights that preserves the mean square of its input (He et al. 2015)."""

    weight: Tensor

    def __init__(self, inputs: int, outputs: int, kernel_size: int) -> None:
        super().__init__()
        weight = torch.empty(outputs, inputs, kernel_size, kernel_size)
        self.register_buffer("weight", nn.init.kaiming_normal_(weight, nonlinearity="linear"))

    def forward(self, features: Tensor) -> Tensor:
        return ops.conv2d_bias_act(features, self.weight, padding=self.weight.shape[-1] // 2)


class RandomMixing(nn.Module):
    """Cross-channel mixing (1×1) of each layer, and cross-scale mixing (3×3, added from deep to shallow).

    Args:
        inputs: The number of channels of each layer, shallow to deep.
        outputs: The number of channels of each layer's mixture.
    """

    def __init__(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        super().__init__()
        pairs = zip(inputs, outputs, strict=True)
        self.over_channels = nn.ModuleList(_RandomConvolution(before, after, 1) for before, after in pairs)
        deeper = [*outputs[1:], outputs[-1]]
        self.over_scales = nn.ModuleList(
            _RandomConvolution(before, after, 3) for before, after in zip(deeper, outputs, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return each layer's mixture `[n, outputs[i], h_i, w_i]`, with a mean square near 1.

        Args:
            features: `[n, inputs[i], h_i, w_i]`, shallow to deep.
        """
        mixtures: list[Tensor] = []
        above: Tensor | None = None
        for index in reversed(range(len(features))):
            mixed = self.over_channels[index](_of_unit_size(features[index]))
            if above is None:
                mixed = self.over_scales[index](mixed)
            else:
                enlarged = functional.interpolate(above, size=mixed.shape[2:], mode="bilinear", align_corners=False)
                mixed = (mixed + self.over_scales[index](enlarged)) * 0.5**0.5
            mixtures.insert(0, mixed)
            above = mixed
        return mixtures


def _of_unit_size(features: Tensor) -> Tensor:
    """Divide each picture's features by their root mean square, which differs up to a hundredfold between layers."""
    square = features.float().square().mean(dim=(1, 2, 3), keepdim=True)
    return features * torch.rsqrt(square + _EPSILON).to(features.dtype)
