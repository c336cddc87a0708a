"""Two small fully connected networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganart_zoo.contract import Critic, Generator, randn

from .config import Config


class Learner(Generator):
    latent_shape = (4,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.hidden = nn.Linear(4, config.width)
        self.classes = nn.Embedding(max(1, len(config.class_names)), config.width)
        self.out = nn.Linear(config.width, 3 * config.resolution**2)

    def sample_latents(self, n, *, rng=None, options=None) -> Tensor:
        return randn((n, 4), rng, self.device)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None) -> Tensor:
        labels = condition.labels if self.config.class_names else torch.zeros(len(latents), dtype=torch.int64)
        hidden = (self.hidden(latents) + self.classes(labels.to(latents.device))).relu()
        side = self.config.resolution
        return self.out(hidden).sigmoid().float().view(-1, 3, side, side)


class Judge(Critic):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.hidden = nn.Linear(3 * config.resolution**2, config.width)
        self.classes = nn.Embedding(max(1, len(config.class_names)), config.width)
        self.out = nn.Linear(config.width, 1)

    def forward(self, images, condition=None) -> Tensor:
        labels = condition.labels if self.config.class_names else torch.zeros(len(images), dtype=torch.int64)
        return self.out(torch.tanh(self.hidden(images.flatten(1)) + self.classes(labels.to(images.device)))).float()
