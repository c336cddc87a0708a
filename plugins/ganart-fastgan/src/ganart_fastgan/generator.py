"""FastGAN's generator: doubling blocks, and small maps that excite the channels of maps sixteen times their side.

Liu et al. 2021, "Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis",
https://arxiv.org/abs/2101.04775, section 3.1.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ganart_fastgan.checks import refuse_condition
from ganart_fastgan.config import GeneratorConfig
from ganart_zoo import contract, ops
from ganart_zoo.contract import Condition, OnStep, Rng, Settings, SettingsError, per_row, randn
from ganart_zoo.training import BatchNorm

__all__ = ["FastGan"]

_FIRST_SIDE = 4
_EXCITED_SIDES = (32, 64, 128, 256, 512)
_EXCITING_RATIO = 16

# Channels of the map of each side as multiples of the width, from the paper's table.
_WIDTHS = {4: 16.0, 8: 8.0, 16: 4.0, 32: 2.0, 64: 2.0, 128: 1.0, 256: 0.5, 512: 0.25, 1024: 0.125}


class _Noise(nn.Module):
    """Adds noise with one value per pixel, scaled by a learned factor."""

    stored: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1))
        self.register_buffer("stored", torch.randn(1, 1, side, side))

    def forward(self, features: Tensor, rows: list[Generator] | None) -> Tensor:
        if rows is None and not self.training:
            noise = self.stored
        elif rows is None:
            noise = torch.randn_like(features[:, :1])
        else:
            noise = randn((features.shape[0], *self.stored.shape[1:]), rows, features.device, features.dtype)
        return features + self.strength * noise


class _GatedConvolution(nn.Module):
    """A convolution, optional noise, batch norm, and a gated linear unit: half of the channels gate the other half."""

    def __init__(self, inputs: int, outputs: int, noise_side: int | None = None) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 2 * outputs, 3, padding=1, bias=False)
        self.noise = _Noise(noise_side) if noise_side is not None else None
        self.norm = BatchNorm(2 * outputs)

    def forward(self, features: Tensor, rows: list[Generator] | None) -> Tensor:
        features = ops.conv2d_bias_act(features, self.convolution.weight, padding=1)
        if self.noise is not None:
            features = self.noise(features, rows)
        return ops.glu(self.norm(features))


class _Doubling(nn.Module):
    """Doubles the side by repeating pixels, then applies one gated convolution, or two with noise."""

    def __init__(self, inputs: int, outputs: int, side: int, noisy: bool) -> None:
        super().__init__()
        first = _GatedConvolution(inputs, outputs, side if noisy else None)
        self.convolutions = nn.ModuleList([first])
        if noisy:
            self.convolutions.append(_GatedConvolution(outputs, outputs, side))

    def forward(self, features: Tensor, rows: list[Generator] | None) -> Tensor:
        features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
        for convolution in self.convolutions:
            features = convolution(features, rows)
        return features


class _SkipLayerExcitation(nn.Module):
    """Scales each channel of a large map by a factor in 0..1 computed from a small map: `large * sigmoid(f(small))`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gather = nn.Conv2d(inputs, outputs, _FIRST_SIDE, bias=False)
        self.scale = nn.Conv2d(outputs, outputs, 1, bias=False)

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        pooled = functional.adaptive_avg_pool2d(small, _FIRST_SIDE)
        factors = self.scale(functional.leaky_relu(self.gather(pooled), 0.1)).sigmoid()
        excited: Tensor = large * factors
        return excited


class FastGan(contract.Generator):
    """Computes pictures from standard normal latents `[n, latent_size]`. `rng` draws the noise of its layers."""

    config: GeneratorConfig

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.latent_shape = (config.latent_size,)
        widths = {side: int(config.width * share) for side, share in _WIDTHS.items() if side <= config.resolution}
        first = widths[_FIRST_SIDE]
        self.dense = nn.Linear(config.latent_size, 2 * first * _FIRST_SIDE**2, bias=False)
        self.dense_norm = BatchNorm(2 * first)
        self.doublings = nn.ModuleDict()
        self.excitations = nn.ModuleDict()
        for side in list(widths)[1:]:
            noisy = len(self.doublings) % 2 == 0  # sides 8, 32, 128 and 512, as in the paper
            self.doublings[str(side)] = _Doubling(widths[side // 2], widths[side], side, noisy)
            if side in _EXCITED_SIDES:
                self.excitations[str(side)] = _SkipLayerExcitation(widths[_exciting(side)], widths[side])
        self.paint = nn.Conv2d(widths[config.resolution], 3, 3, padding=1)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
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
            SettingsError: Latents have another shape, or a condition was passed.
        """
        refuse_condition("fastgan", condition)
        if latents.shape[1:] != self.latent_shape:
            raise SettingsError(f"latents are {list(latents.shape)}, expected [n, {self.config.latent_size}]")
        rows = per_row(rng, latents.shape[0])
        features = self.dense(latents.to(self.dense.weight.dtype))
        # channels_last from the start: the following layers keep this layout, and convolutions are faster in it
        features = features.view(latents.shape[0], _FIRST_SIDE, _FIRST_SIDE, -1).permute(0, 3, 1, 2)
        maps = {_FIRST_SIDE: ops.glu(self.dense_norm(features))}
        for name, doubling in self.doublings.items():
            side = int(name)
            maps[side] = doubling(maps[side // 2], rows)
            if name in self.excitations:
                maps[side] = self.excitations[name](maps[_exciting(side)], maps[side])
        painted = self.paint(maps[self.config.resolution])
        return torch.tanh(painted.to(self.picture_dtype)) * 0.5 + 0.5


def _exciting(side: int) -> int:
    """Return the side of the map that excites a map of `side`: the paper's ratio, limited by the smallest map."""
    return max(_FIRST_SIDE, side // _EXCITING_RATIO)
