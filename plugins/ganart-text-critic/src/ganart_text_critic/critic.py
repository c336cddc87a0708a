"""The text critic: a small convolutional network with one layer of attention for pictures, a transformer for texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_text_critic.config import CriticConfig
from ganart_text_critic.pictures import to_square
from ganart_text_critic.relations import sided
from ganart_text_critic.towers import TwoTowers
from ganart_zoo.data.captions import MAX_WORDS
from ganart_zoo.data.word_bags import word_bags

__all__ = ["TextCritic"]

_HEAD_WIDTH = 32
_QUERIES = 4
_GROUPS = 8
_LAYOUT = 16
"""Channels of each place in the part of the picture tower that keeps places apart."""


class _Attention(nn.Module):
    """A transformer layer, normalised before each part.

    Args:
        width: Of tokens.
        hidden: Width of the perceptron.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.heads = max(1, width // _HEAD_WIDTH)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return tokens `[n, length, width]`; `mask` `[n, length]` says which of them count."""
        n, length, width = tokens.shape
        parts = self.mix(self.norm(tokens)).view(n, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(n, length, width))
        return tokens + self.mlp(tokens)


class _Residual(nn.Module):
    """3×3 convolutions, normalised before each, added to the input."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(_GROUPS, width) for _ in range(depth))
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))

    def forward(self, features: Tensor) -> Tensor:
        inner = features
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            inner = convolution(functional.silu(norm(inner)))
        return features + inner


class _PictureTower(nn.Module):
    """Halves the picture three times and lets its parts attend to each other once.

    They are gathered in two ways: by learned queries, which find things wherever they are, and place by place, which
    tells what lies left of what.
    """

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        width, self.side = config.width, config.resolution
        self.features = nn.Sequential(
            nn.Conv2d(3, width // 4, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width // 4, width // 2, 3, stride=2, padding=1),
            _Residual(width // 2, 1),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
            _Residual(width, 2),
        )
        self.places = nn.Parameter(torch.randn((config.resolution // 8) ** 2, width) * 0.1)
        self.attention = _Attention(width, width)
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Linear(width, _QUERIES, bias=False)
        self.out = nn.Linear(_QUERIES * width, config.dimension)
        self.narrow = nn.Linear(width, _LAYOUT)
        self.layout = nn.Sequential(
            nn.GELU(),
            nn.Linear(len(self.places) * _LAYOUT, 2 * config.dimension),
            nn.GELU(),
            nn.Linear(2 * config.dimension, config.dimension),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return `[n, dimension]` for `[n, 3, H, W]`."""
        square = (to_square(images, self.side) * 2 - 1).to(self.places.dtype, memory_format=torch.channels_last)
        tokens = self.attention(self.features(square).flatten(2).transpose(1, 2) + self.places)
        tokens = self.norm(tokens)
        gathered = self.queries(tokens).softmax(dim=1).transpose(1, 2) @ tokens
        vectors: Tensor = self.out(gathered.flatten(1)) + self.layout(self.narrow(tokens).flatten(1))
        return vectors


class _TextTower(nn.Module):
    """A transformer over the hashed words of a text, behind a token of its own that gathers them."""

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        width, self.buckets = config.text_width, config.buckets
        self.table = nn.Parameter(torch.randn(config.buckets, config.word_width))
        self.widen = nn.Linear(config.word_width, width)
        self.start = nn.Parameter(torch.randn(width) * 0.1)
        self.places = nn.Parameter(torch.randn(MAX_WORDS + 1, width) * 0.1)
        self.layers = nn.ModuleList(_Attention(width, 3 * width) for _ in range(config.text_layers))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(2 * width, config.dimension)

    def forward(self, prompts: Sequence[str]) -> Tensor:
        """Return `[n, dimension]` for n texts."""
        bags = word_bags([sided(prompt) for prompt in prompts], self.buckets).to(self.table.device)
        tokens = self.widen(bags.embed(self.table))
        start = self.start.to(tokens).expand(len(tokens), 1, -1)
        tokens = torch.cat([start, tokens], dim=1) + self.places[: tokens.shape[1] + 1]
        mask = functional.pad(bags.mask, (1, 0), value=True)
        for layer in self.layers:
            tokens = layer(tokens, mask)
        tokens = self.norm(tokens)
        counted = mask.unsqueeze(2).to(tokens)
        mean = (tokens * counted).sum(dim=1) / counted.sum(dim=1)
        vectors: Tensor = self.out(torch.cat([tokens[:, 0], mean], dim=1))
        return vectors


class TextCritic(TwoTowers):
    """Scores pictures against a text. See `TwoTowers`."""

    config: CriticConfig

    def __init__(self, config: CriticConfig) -> None:
        super().__init__(config)
        self.picture_tower = _PictureTower(config)
        self.text_tower = _TextTower(config)
