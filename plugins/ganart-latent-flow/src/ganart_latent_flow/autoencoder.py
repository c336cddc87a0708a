"""The autoencoder: pictures to latents of an eighth of the side, and back.

Latents are normalised by the statistics of the pictures that the encoder was trained on, so that each channel has mean
0 and standard deviation 1 over them; there is no Kullback-Leibler term. Noise on the latents during training makes the
decoder bear the small errors of the flow. Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion
Models", 2022, https://arxiv.org/abs/2112.10752.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["STRIDE", "Autoencoder", "Decoder", "Encoder", "Residual"]

STRIDE = 8
"""Pixels of the picture along each side of a latent."""


class Residual(nn.Module):
    """Two 3x3 convolutions around an activation, added to their input; the identity at the start of training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        inner = self.first(functional.silu(features))
        outer: Tensor = self.second(functional.silu(inner))
        return features + outer


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*[Residual(channels) for _ in range(count)])


class Encoder(nn.Module):
    """Pictures to latents that are not yet normalised.

    Args:
        channels: Of the latents.
        widths: Channels at a half, a quarter and an eighth of the side.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        half, quarter, eighth = widths
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, half, 3, padding=1),
            Residual(half),
            nn.Conv2d(half, quarter, 4, stride=2, padding=1),
            Residual(quarter),
            nn.Conv2d(quarter, eighth, 4, stride=2, padding=1),
            _blocks(eighth, 2),
            nn.SiLU(),
            nn.Conv2d(eighth, channels, 1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Return `[n, channels, H / 8, W / 8]` for pictures `[n, 3, H, W]` in 0..1."""
        latents: Tensor = self.layers(pictures * 2 - 1)
        return latents


class Decoder(nn.Module):
    """Latents to pictures.

    Args:
        channels: Of the latents.
        widths: Channels at an eighth, a quarter and a half of the side.
        blocks: Residual blocks at each.
    """

    def __init__(self, channels: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        eighth, quarter, half = widths
        self.layers = nn.Sequential(
            nn.Conv2d(channels, eighth, 3, padding=1),
            _blocks(eighth, blocks[0]),
            nn.Conv2d(eighth, quarter * 4, 1),
            nn.PixelShuffle(2),
            _blocks(quarter, blocks[1]),
            nn.Conv2d(quarter, half * 4, 1),
            nn.PixelShuffle(2),
            _blocks(half, blocks[2]),
            nn.SiLU(),
            nn.Conv2d(half, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Return pictures `[n, 3, 8 * h, 8 * w]` around 0..1, not clamped, for latents `[n, channels, h, w]`."""
        pictures: Tensor = self.layers(latents)
        return pictures * 0.5 + 0.5


class Autoencoder(nn.Module):
    """Encoder, decoder, and the normalisation between them.

    Args:
        channels: Of the latents.
        encoder_widths: Channels of the encoder at a half, a quarter and an eighth of the side.
        decoder_widths: Channels of the decoder at an eighth, a quarter and a half of the side.
        decoder_blocks: Residual blocks of the decoder at each.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        channels: int,
        encoder_widths: Sequence[int],
        decoder_widths: Sequence[int],
        decoder_blocks: Sequence[int],
    ) -> None:
        super().__init__()
        self.encoder = Encoder(channels, encoder_widths)
        self.decoder = Decoder(channels, decoder_widths, decoder_blocks)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def encode(self, pictures: Tensor) -> Tensor:
        """Return normalised latents of pictures `[n, 3, H, W]` in 0..1, whose sides are multiples of 8."""
        return self.normalise(self.encoder(pictures))

    def normalise(self, latents: Tensor) -> Tensor:
        """Return what the encoder gives, with mean 0 and standard deviation 1 per channel."""
        return (latents - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1)

    def decode(self, latents: Tensor) -> Tensor:
        """Return pictures of normalised latents."""
        pictures: Tensor = self.decoder(latents)
        return pictures
