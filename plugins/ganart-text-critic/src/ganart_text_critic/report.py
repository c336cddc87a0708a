"""The critic for reports: features of a frozen classifier for pictures, gated convolutions for texts.

It never chooses pictures that are shown or trained on, so what it says of them has not been optimised for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_text_critic.config import ReportCriticConfig
from ganart_text_critic.pictures import to_square
from ganart_text_critic.towers import TwoTowers
from ganart_zoo.contract import Backbone
from ganart_zoo.data.word_bags import word_bags

__all__ = ["ReportCritic"]

_GRID = 6
"""Places a side at which the features of all layers are put together."""


class _PictureTower(nn.Module):
    """A perceptron over the features of each place, then one over all places."""

    def __init__(self, backbone: Backbone, config: ReportCriticConfig) -> None:
        super().__init__()
        self.backbone, self.side = backbone, config.resolution
        self.layers = backbone.role_layers("critic")
        channels = sum(backbone.layers[layer].channels for layer in self.layers)
        self.place = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, config.width),
            nn.GELU(),
            nn.Linear(config.width, config.width // 4),
        )
        self.whole = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, config.width))
        self.out = nn.Sequential(
            nn.GELU(),
            nn.Linear(_GRID * _GRID * (config.width // 4) + config.width, 2 * config.width),
            nn.GELU(),
            nn.Linear(2 * config.width, config.dimension),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return `[n, dimension]` for `[n, 3, H, W]`."""
        maps = self.backbone(to_square(images, self.side), self.layers)
        grid = torch.cat([_on_grid(maps[layer]) for layer in self.layers], dim=1).flatten(2).transpose(1, 2)
        places = self.place(grid).flatten(1)
        vectors: Tensor = self.out(torch.cat([places, self.whole(grid.mean(dim=1))], dim=1))
        return vectors


def _on_grid(features: Tensor) -> Tensor:
    side = (_GRID, _GRID)
    if min(features.shape[2:]) >= _GRID:
        return functional.adaptive_avg_pool2d(features, side)
    return functional.interpolate(features, size=side, mode="bilinear", align_corners=False)


class _TextTower(nn.Module):
    """Gated convolutions over the hashed words of a text; their mean and maximum."""

    def __init__(self, config: ReportCriticConfig) -> None:
        super().__init__()
        width, self.buckets = config.width, config.buckets
        self.table = nn.Parameter(torch.randn(config.buckets, config.word_width))
        self.widen = nn.Linear(config.word_width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.convolutions = nn.ModuleList(nn.Conv1d(width, 2 * width, 3, padding=1) for _ in range(2))
        self.out = nn.Sequential(nn.LayerNorm(2 * width), nn.Linear(2 * width, config.dimension))

    def forward(self, prompts: Sequence[str]) -> Tensor:
        """Return `[n, dimension]` for n texts."""
        bags = word_bags(prompts, self.buckets).to(self.table.device)
        counted = bags.mask.unsqueeze(2).to(self.table)
        # padding is zero before every convolution, so a longer neighbour in the batch changes nothing
        tokens = self.widen(bags.embed(self.table)) * counted
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            inner = (norm(tokens) * counted).transpose(1, 2)
            tokens = tokens + functional.glu(convolution(inner), dim=1).transpose(1, 2) * counted
        mean = tokens.sum(dim=1) / counted.sum(dim=1).clamp(min=1)
        most = tokens.masked_fill(counted == 0, -torch.inf).amax(dim=1)
        most = torch.where(counted.any(dim=1), most, 0.0)
        vectors: Tensor = self.out(torch.cat([mean, most], dim=1))
        return vectors


class ReportCritic(TwoTowers):
    """Scores pictures against a text, for reports only. See `TwoTowers`."""

    config: ReportCriticConfig

    def __init__(self, config: ReportCriticConfig, backbone: Backbone) -> None:
        super().__init__(config)
        self.picture_tower = _PictureTower(backbone, config)
        self.text_tower = _TextTower(config)
