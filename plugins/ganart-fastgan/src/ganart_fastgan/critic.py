"""The projected critic: heads that vote on the mixed features of a frozen backbone, one at each scale.

Sauer et al. 2021, "Projected GANs Converge Faster", https://arxiv.org/abs/2111.01007. The heads have spectral norm
(Miyato et al. 2018) and no batch norm, so that a picture's votes do not depend on the batch around it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_fastgan.checks import refuse_condition
from ganart_fastgan.config import CriticConfig
from ganart_fastgan.mixing import RandomMixing
from ganart_zoo import contract, ops
from ganart_zoo.contract import Backbone, Condition, ImageError

__all__ = ["ProjectedCritic"]

_LAST_SIDE = 4
_SLOPE = 0.2


class _Head(nn.Module):
    """Halves its map until its sides are 4 to 7 pixels; each remaining pixel votes."""

    def __init__(self, inputs: int, side: int, config: CriticConfig) -> None:
        super().__init__()
        self.halvings = nn.ModuleList()
        while side >= 2 * _LAST_SIDE:
            outputs = min(
                max(2 * inputs, config.width), config.max_width
            )  # a picture has only 3 channels, so doubling would be too slow
            self.halvings.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1))
            inputs, side = outputs, side // 2
        self.last = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.vote = nn.Conv2d(inputs, 1, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        for convolution in [*self.halvings, self.last]:
            features = ops.conv2d_bias_act(
                features,
                convolution.weight,
                convolution.bias,
                stride=convolution.stride[0],
                padding=convolution.padding,
                act="lrelu",
                negative_slope=_SLOPE,
                gain=1.0,
            )
        votes: Tensor = self.vote(features)
        return votes.flatten(1)


class _Heads(nn.Module):
    """One head per map. It is a separate module because each call of the network updates spectral norm."""

    def __init__(self, channels: Sequence[int], sides: Sequence[int], config: CriticConfig) -> None:
        super().__init__()
        self.heads = nn.ModuleList(_Head(inputs, side, config) for inputs, side in zip(channels, sides, strict=True))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return torch.cat([head(each) for head, each in zip(self.heads, maps, strict=True)], dim=1)


class ProjectedCritic(contract.Critic):
    """Returns votes `[n, k]` from each scale of the backbone and, with `pixel_head`, from the picture itself."""

    config: CriticConfig
    takes_batches = True

    def __init__(self, config: CriticConfig, backbone: Backbone) -> None:
        super().__init__(config)
        self.backbone = backbone
        self.taps = backbone.role_layers("critic", config.layers)
        layers = [backbone.layers[name] for name in self.taps]
        widths = [min(config.max_width, config.width << index) for index in range(len(layers))]
        self.mixing = RandomMixing([layer.channels for layer in layers], widths)
        view = max(config.view, config.resolution)
        channels, sides = widths, [-(-view // layer.stride) for layer in layers]
        if config.pixel_head:
            channels, sides = [*channels, 3], [*sides, config.resolution]
        self.heads = _Heads(channels, sides, config)
        ops.spectral_norm(self.heads)

    def forward(self, images: Tensor, condition: Condition | None = None, *, batches: int = 1) -> Tensor:
        """Return votes `[n, k]` on pictures `[n, 3, resolution, resolution]`, each by itself, whatever `batches`.

        Raises:
            ImageError: Pictures have another size.
            SettingsError: A condition was passed.
        """
        refuse_condition("projected_critic", condition)
        side = self.config.resolution
        if images.shape[1:] != (3, side, side):
            raise ImageError(f"images are {list(images.shape)}, expected [n, 3, {side}, {side}]; resize them")
        seen = images
        if side < self.config.view:
            seen = functional.interpolate(images, size=2 * (self.config.view,), mode="bilinear", align_corners=False)
        features = self.backbone(seen.contiguous(memory_format=torch.channels_last), self.taps)
        maps = self.mixing([features[name] for name in self.taps])
        if self.config.pixel_head:
            maps.append((images * 2 - 1).to(maps[0].dtype, memory_format=torch.channels_last))
        votes: Tensor = self.heads(maps)
        return votes.to(self.picture_dtype)
