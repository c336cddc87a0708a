"""The generator of DCGAN: a dense layer, then transposed convolutions that double the side up to the resolution.

Radford et al. 2015, https://arxiv.org/abs/1511.06434. The latent, and with classes a vector of the class, are inputs of
the dense layer and of every batch norm: Brock et al. 2019 (BigGAN), https://arxiv.org/abs/1809.11096.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ganart_dcgan.batch_norm import StyledBatchNorm
from ganart_dcgan.config import GeneratorConfig
from ganart_zoo import contract, ops
from ganart_zoo.contract import Condition, OnStep, Rng, Settings, SettingsError, class_labels, randn

__all__ = ["Generator"]

_FIRST_SIDE = 4


class _Doubling(nn.Module):
    """Batch norm, ReLU, and a transposed convolution to twice the side."""

    def __init__(self, inputs: int, outputs: int, style_size: int) -> None:
        super().__init__()
        self.norm = StyledBatchNorm(inputs, style_size)
        self.convolution = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        features = self.norm(features, style)
        return ops.conv_transpose2d(features, self.convolution.weight, stride=2, padding=1)


class Generator(contract.Generator):
    """Computes pictures from standard normal latents `[n, latent_size]`. It adds no noise, so `rng` has no effect."""

    config: GeneratorConfig

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        classes, size = len(config.class_names), config.latent_size
        self.classes = nn.Embedding(classes, size) if classes else None
        style_size = 2 * size if classes else size
        self.latent_shape = (config.latent_size,)
        sides = [_FIRST_SIDE]
        while sides[-1] < config.resolution:
            sides.append(2 * sides[-1])
        widths = [config.channels(side) for side in sides]
        self.dense = nn.Linear(style_size, _FIRST_SIDE**2 * widths[0], bias=False)
        self.doublings = nn.ModuleList(_Doubling(inputs, outputs, style_size) for inputs, outputs in pairwise(widths))
        self.norm = StyledBatchNorm(widths[-1], style_size)
        self.paint = nn.Conv2d(widths[-1], 3, 3, padding=1)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, std=0.02)  # as in the paper; batch norm undoes the scale

    def sample_latents(self, n: int, *, rng: Rng = None, options: Settings | None = None) -> Tensor:
        """Return `[n, latent_size]`, standard normal."""
        return randn((n, *self.latent_shape), rng, self.device, self.compute_dtype)

    def forward(
        self,
        latents: Tensor,
        condition: Condition | None = None,
        *,
        rng: Rng = None,
        options: Settings | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return pictures `[n, 3, resolution, resolution]` in 0..1.

        Raises:
            SettingsError: Latents have another shape; or labels are missing, not supported or unknown.
        """
        if latents.shape[1:] != self.latent_shape:
            raise SettingsError(f"latents are {list(latents.shape)}, expected [n, {self.config.latent_size}]")
        labels = class_labels(condition, latents.shape[0], self.config.class_names)
        style = latents.to(self.dense.weight.dtype)
        if self.classes is not None and labels is not None:
            style = torch.cat([style, self.classes(labels.to(latents.device))], dim=1)
        features = self.dense(style)
        # channels_last from the start: the following layers keep this layout, and convolutions are faster in it
        features = features.view(latents.shape[0], _FIRST_SIDE, _FIRST_SIDE, -1).permute(0, 3, 1, 2)
        for doubling in self.doublings:
            features = doubling(features, style)
        painted = self.paint(self.norm(features, style))
        return torch.tanh(painted.to(self.picture_dtype)) * 0.5 + 0.5
