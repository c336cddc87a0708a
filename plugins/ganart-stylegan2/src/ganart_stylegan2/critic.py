"""StyleGAN2's critic: residual blocks that halve the side, and the batch's standard deviation as an additional channel.

Karras et al. 2020, https://arxiv.org/abs/1912.04958. Classes are conditioned on by projection onto a mapped class
vector, as in Karras et al. 2020 (ADA), https://arxiv.org/abs/2006.06676.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingType
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from ganart_stylegan2.config import CriticConfig
from ganart_stylegan2.layers import Convolution, Dense, Mapping
from ganart_stylegan2.published import critic_names, read_published
from ganart_zoo import ops
from ganart_zoo.contract import Condition, Critic, ImageError, class_labels
from ganart_zoo.training import mean_over_processes

__all__ = ["StyleGan2Critic"]

_FIRST_SIDE = 4
_GROUP = 4
_SPREAD_RATE = 0.01
_HALF = math.sqrt(0.5)  # so that the sum of two branches keeps its variance


class _Block(nn.Module):
    """Two convolutions, of which the second halves the side, and a linear skip connection."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = Convolution(inputs, inputs, 3)
        self.second = Convolution(inputs, outputs, 3, halve=True, gain=_HALF)
        self.skip = Convolution(inputs, outputs, 1, halve=True, act="linear", bias=False, gain=_HALF)

    def forward(self, features: Tensor) -> Tensor:
        halved: Tensor = self.second(self.first(features)) + self.skip(features)
        return halved


class StyleGan2Critic(Critic):
    """Returns one vote per picture; with classes, the vote is on whether the picture is real and matches its label.

    In training, pictures form groups of up to 4, whose standard deviation is an additional channel (Karras et al.
    2018). In eval mode that channel holds its running mean, so that a score does not depend on the rest of the batch.
    """

    config: CriticConfig
    takes_batches = True
    typical_spread: Tensor

    def __init__(self, config: CriticConfig) -> None:
        super().__init__(config)
        widths = [config.channels(side) for side in reversed(config.sides)]
        last = widths[-1]
        self.from_picture = Convolution(3, widths[0], 1)
        self.blocks = nn.ModuleList(_Block(inputs, outputs) for inputs, outputs in pairwise(widths))
        self.register_buffer("typical_spread", torch.ones(()))
        self.last = Convolution(last + 1, last, 3)
        self.dense = Dense(last * _FIRST_SIDE**2, last, "lrelu")
        classes = len(config.class_names)
        self.mapping = Mapping(0, classes, last, config.mapping_layers) if classes else None
        self.vote = Dense(last, last if classes else 1)

    def forward(self, images: Tensor, condition: Condition | None = None, *, batches: int = 1) -> Tensor:
        """Return votes `[n, 1]` on pictures `[n, 3, resolution, resolution]`.

        Args:
            images: Pictures in 0..1.
            condition: The labels, with classes.
            batches: How many batches follow one another in the rows; pictures of two are never in one group.

        Raises:
            ImageError: Pictures have another size.
            SettingsError: Labels are missing, not supported or unknown.
        """
        side = self.config.resolution
        if images.shape[1:] != (3, side, side):
            raise ImageError(f"images are {list(images.shape)}, expected [n, 3, {side}, {side}]; resize them")
        labels = class_labels(condition, len(images), self.config.class_names)
        features = self.from_picture((images * 2 - 1).to(self.compute_dtype, memory_format=torch.channels_last))
        for block in self.blocks:
            features = block(features)
        features = self.dense(self.last(self._with_spread(features, batches)).flatten(1))
        votes: Tensor = self.vote(features)
        if self.mapping is not None and labels is not None:
            meaning = self.mapping(None, labels.to(images.device))
            votes = (votes * meaning).sum(dim=1, keepdim=True) / math.sqrt(meaning.shape[1])
        return votes.to(self.picture_dtype)

    def _with_spread(self, features: Tensor, batches: int) -> Tensor:
        if not self.training:
            n = len(features)
            spread = self.typical_spread.to(features.dtype).expand(n, 1, *features.shape[2:])
            return torch.cat([features, spread], dim=1)
        n = len(features) // batches
        group = next(size for size in range(_GROUP, 0, -1) if n % size == 0)
        # groups of neighbouring pictures stay the same however processes divide a batch
        wider = ops.minibatch_stddev(features, group, neighbours=True)
        with torch.no_grad():
            spreads = torch.stack([spread.mean() for spread in wider[:, -1].tensor_split(batches)])
            for spread in mean_over_processes(spreads).to(self.typical_spread.dtype):
                self.typical_spread.lerp_(spread, _SPREAD_RATE)
        return wider

    def load_weights(self, files: MappingType[str, Path], *, device: torch.device, dtype: torch.dtype) -> None:
        """Load own weights, or published ones under the names of NVIDIA's PyTorch implementation.

        Published files do not hold `typical_spread`; it keeps its value until the critic is trained further.

        Raises:
            ModelError: There is not exactly one file, or its tensors do not fit.
            WeightsError: The file is damaged.
        """
        state = read_published(self, files, critic_names(self.config))
        self.load_own_state({"typical_spread": self.typical_spread, **state})
