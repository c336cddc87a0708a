"""StyleGAN2's generator: latents become styles, which scale the weights of convolutions that start from a constant.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", https://arxiv.org/abs/1912.04958,
configuration F: output skips, and weight demodulation in place of normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ganart_stylegan2.config import GeneratorConfig, GeneratorOptions
from ganart_stylegan2.layers import Dense, Mapping, resampling_taps
from ganart_stylegan2.published import generator_names, read_published
from ganart_zoo import ops
from ganart_zoo.contract import (
    Condition,
    OnStep,
    Rng,
    Settings,
    SettingsError,
    StyleGenerator,
    class_labels,
    per_row,
    randn,
)
from ganart_zoo.training import mean_over_processes

__all__ = ["StyleGan2"]

_FIRST_SIDE = 4
_MEAN_RATE = 0.005

Rows = list[torch.Generator] | None


class _StyledConvolution(nn.Module):
    """A 3×3 convolution modulated by a style, with noise; with `enlarge`, it doubles the side."""

    taps: Tensor
    noise: Tensor

    def __init__(self, inputs: int, outputs: int, side: int, style_size: int, *, enlarge: bool) -> None:
        super().__init__()
        self.style = Dense(style_size, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(side, side))
        self.register_buffer("taps", resampling_taps() if enlarge else None, persistent=False)

    def forward(self, features: Tensor, w: Tensor, rows: Rows) -> Tensor:
        return ops.modulated_conv2d(
            features,
            self.weight.to(features.dtype),
            self.style(w),
            up=1 if self.taps is None else 2,
            taps=self.taps,
            padding=1,
            noise=self._noise(features, rows) * self.noise_strength,
            bias=self.bias,
            act="lrelu",
        )

    def _noise(self, features: Tensor, rows: Rows) -> Tensor:
        stored = self.noise[None, None]
        if rows is None and not self.training:
            return stored
        shape = (features.shape[0], *stored.shape[1:])
        if rows is None:
            return torch.randn(shape, device=features.device, dtype=features.dtype)
        return randn(shape, rows, features.device, features.dtype)


class _ToPicture(nn.Module):
    """A 1×1 convolution to red, green and blue, modulated by a style."""

    def __init__(self, inputs: int, style_size: int) -> None:
        super().__init__()
        self.style = Dense(style_size, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self._gain = 1 / math.sqrt(inputs)

    def forward(self, features: Tensor, w: Tensor) -> Tensor:
        return ops.modulated_conv2d(
            features, self.weight.to(features.dtype), self.style(w) * self._gain, demodulate=False, bias=self.bias
        )


class _Block(nn.Module):
    """The layers of one side: enlarge (except in the first block), refine, and add to the picture so far."""

    taps: Tensor

    def __init__(self, inputs: int, outputs: int, side: int, style_size: int) -> None:
        super().__init__()
        self.enlarge = _StyledConvolution(inputs, outputs, side, style_size, enlarge=True) if inputs else None
        self.refine = _StyledConvolution(outputs, outputs, side, style_size, enlarge=False)
        self.paint = _ToPicture(outputs, style_size)
        self.register_buffer("taps", resampling_taps(), persistent=False)

    def forward(self, features: Tensor, picture: Tensor | None, ws: list[Tensor], rows: Rows) -> tuple[Tensor, Tensor]:
        """Return features and picture; `ws` holds the styles of the convolutions, then that of `paint`."""
        if self.enlarge is not None:
            features = self.enlarge(features, ws[0], rows)
        features = self.refine(features, ws[-2], rows)
        painted = self.paint(features, ws[-1]).to(torch.promote_types(features.dtype, torch.float32))
        return features, painted if picture is None else ops.upsample2d(picture, self.taps) + painted


class StyleGan2(StyleGenerator):
    """Computes pictures from standard normal latents `[n, latent_size]`, via styles `[n, num_ws, style_size]`.

    Each convolution has its own style; the layer that adds to the picture shares the style of the next side's first
    convolution. In training, `forward` mixes styles, and `map` updates the running mean that truncation uses.
    """

    config: GeneratorConfig

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.latent_shape = (config.latent_size,)
        self.w_dim = config.style_size
        self.num_ws = 2 * len(config.sides)
        self.mapping = Mapping(config.latent_size, len(config.class_names), config.style_size, config.mapping_layers)
        self.register_buffer("mean_w", torch.zeros(config.style_size))
        widths = [config.channels(side) for side in config.sides]
        self.constant = nn.Parameter(torch.randn(widths[0], _FIRST_SIDE, _FIRST_SIDE))
        self.blocks = nn.ModuleList(
            _Block(inputs, outputs, side, config.style_size)
            for (inputs, outputs), side in zip(pairwise([0, *widths]), config.sides, strict=True)
        )

    def sample_latents(self, n: int, *, rng: Rng = None, options: Settings | None = None) -> Tensor:
        """Return `[n, latent_size]`, standard normal."""
        return randn((n, *self.latent_shape), rng, self.device, self.compute_dtype)

    def map(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        """Return styles `[n, num_ws, style_size]`, the same for all layers, not truncated.

        Raises:
            SettingsError: Latents have another shape; or labels are missing, not supported or unknown.
        """
        if latents.shape[1:] != self.latent_shape:
            raise SettingsError(f"latents are {list(latents.shape)}, expected [n, {self.config.latent_size}]")
        labels = class_labels(condition, latents.shape[0], self.config.class_names)
        labels = None if labels is None else labels.to(latents.device)
        w: Tensor = self.mapping(latents.to(self.compute_dtype), labels)
        if self.training and len(w):
            mean = mean_over_processes(w.detach().mean(dim=0))
            self.mean_w.lerp_(mean.to(self.mean_w.dtype), _MEAN_RATE)
        return w[:, None].expand(-1, self.num_ws, -1)

    def synthesize(self, ws: Tensor, *, rng: Rng = None) -> Tensor:
        """Return pictures `[n, 3, resolution, resolution]`, 0 black to 1 white, for styles `[n, num_ws, style_size]`.

        Without `rng`, the stored noise is used, or in training new noise from torch's global generator.

        Raises:
            SettingsError: Styles have another shape.
        """
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            raise SettingsError(f"styles are {list(ws.shape)}, expected [n, {self.num_ws}, {self.w_dim}]")
        rows = per_row(rng, ws.shape[0])
        layers = list(ws.to(self.compute_dtype).unbind(dim=1))
        features = self.constant.expand(ws.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        picture: Tensor | None = None
        used = 0
        for block in self.blocks:
            convolutions = 1 if block.enlarge is None else 2
            features, picture = block(features, picture, layers[used : used + convolutions + 1], rows)
            used += convolutions
        assert picture is not None
        return picture.to(self.picture_dtype) * 0.5 + 0.5

    def forward(
        self,
        latents: Tensor,
        condition: Condition | None = None,
        *,
        rng: Rng = None,
        options: Settings | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return pictures `[n, 3, resolution, resolution]`, 0 black to 1 white.

        Raises:
            SettingsError: As for `map`.
        """
        chosen = GeneratorOptions() if options is None else cast(GeneratorOptions, options)
        rows = per_row(rng, latents.shape[0])
        ws = self.map(latents, condition)
        if self.training and self.config.style_mixing:
            ws = self._mix(ws, condition, rows)
        if chosen.truncation != 1:
            ws = self.truncate(ws, chosen.truncation)
        return self.synthesize(ws, rng=rows)

    def _mix(self, ws: Tensor, condition: Condition | None, rows: Rows) -> Tensor:
        """Replace some rows' styles, from a random layer on, by those of a second latent (mixing regularization)."""
        n = ws.shape[0]
        second = self.map(self.sample_latents(n, rng=rows), condition)
        # uniform numbers from normal ones: `randn` draws the same values on every device and for any batch size
        chosen, place = torch.special.ndtr(randn((n, 2), rows, ws.device)).unbind(dim=1)
        first = 1 + (place * (self.num_ws - 1)).long()
        first = torch.where(chosen < self.config.style_mixing, first, self.num_ws)
        layer = torch.arange(self.num_ws, device=ws.device)
        return torch.where((layer >= first[:, None])[..., None], second, ws)

    def load_weights(self, files: MappingType[str, Path], *, device: torch.device, dtype: torch.dtype) -> None:
        """Load own weights, or published ones under the names of NVIDIA's PyTorch implementation.

        Raises:
            ModelError: There is not exactly one file, or its tensors do not fit.
            WeightsError: The file is damaged.
        """
        self.load_own_state(read_published(self, files, generator_names(self.config)))
