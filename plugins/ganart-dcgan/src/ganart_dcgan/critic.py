"""The critic of DCGAN: convolutions that halve the side down to 4, without batch norm, and one vote per picture.

Radford et al. 2015, https://arxiv.org/abs/1511.06434. Batch norm is left out because a gradient penalty is defined
for each picture separately (Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028). Classes are conditioned on by
projection (Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ganart_dcgan.config import CriticConfig
from ganart_zoo import contract, ops
from ganart_zoo.contract import Condition, ImageError, class_labels

__all__ = ["Critic"]

_LAST_SIDE = 4
_SLOPE = 0.2


class Critic(contract.Critic):
    """Returns one vote per picture; with classes, the vote is on whether the picture is real and matches its label."""

    config: CriticConfig
    takes_batches = True

    def __init__(self, config: CriticConfig) -> None:
        super().__init__(config)
        self.halvings = nn.ModuleList()
        inputs, side = 3, config.resolution
        while side > _LAST_SIDE:
            side //= 2
            self.halvings.append(nn.Conv2d(inputs, config.channels(side), 4, stride=2, padding=1))
            inputs = config.channels(side)
        self.dense = nn.Linear(inputs * _LAST_SIDE**2, inputs)
        self.vote = nn.Linear(inputs, 1)
        self.classes = nn.Embedding(len(config.class_names), inputs) if config.class_names else None
        for module in [*self.halvings, self.dense]:
            nn.init.kaiming_normal_(module.weight, a=_SLOPE)
            nn.init.zeros_(module.bias)

    def forward(self, images: Tensor, condition: Condition | None = None, *, batches: int = 1) -> Tensor:
        """Return votes `[n, 1]` on pictures `[n, 3, resolution, resolution]`.

        `batches` has no effect, since each picture is judged by itself.

        Raises:
            ImageError: Pictures have another size.
            SettingsError: Labels are missing, not supported or unknown.
        """
        side = self.config.resolution
        if images.shape[1:] != (3, side, side):
            raise ImageError(f"images are {list(images.shape)}, expected [n, 3, {side}, {side}]; resize them")
        labels = class_labels(condition, len(images), self.config.class_names)
        features = (images * 2 - 1).to(self.vote.weight.dtype, memory_format=torch.channels_last)
        for halving in self.halvings:
            assert isinstance(halving, nn.Conv2d)
            features = ops.conv2d_bias_act(
                features, halving.weight, halving.bias, stride=2, padding=1, act="lrelu", negative_slope=_SLOPE, gain=1
            )
        features = functional.leaky_relu(self.dense(features.flatten(1)), _SLOPE)
        votes: Tensor = self.vote(features)
        if self.classes is not None and labels is not None:
            meaning = self.classes(labels.to(images.device)) / math.sqrt(features.shape[1])
            votes = votes + (meaning * features).sum(dim=1, keepdim=True)
        return votes.to(self.picture_dtype)
