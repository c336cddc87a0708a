"""Tiny networks that learn in seconds, and toy data for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ganart_zoo.contract import Condition, Critic, CriticOutput, Generator, StyleGenerator, randn

SIZE = 8


class TinyGenerator(Generator):
    """Latents of 4 numbers to pictures of 8×8; with classes, told by an embedding."""

    latent_shape = (4,)

    def __init__(self, classes: int = 0, size: int = SIZE) -> None:
        super().__init__()
        self.size = size
        self.hidden = nn.Linear(4, 16)
        self.out = nn.Linear(16, 3 * size * size)
        self.classes = nn.Embedding(classes, 16) if classes else None
        self.dropout = nn.Dropout(0.1)

    def sample_latents(self, n, *, rng=None, options=None) -> Tensor:
        return randn((n, 4), rng, self.device, self.compute_dtype)

    def forward(self, latents, condition: Condition | None = None, *, rng=None, options=None, on_step=None) -> Tensor:
        hidden = self.hidden(latents)
        if self.classes is not None:
            hidden = hidden + self.classes(condition.labels)
        if rng is not None:
            hidden = hidden + 0.01 * randn(hidden.shape, rng)
        return self.out(self.dropout(hidden.relu())).sigmoid().to(self.picture_dtype).view(-1, 3, self.size, self.size)


class TinyStyleGenerator(StyleGenerator):
    """The same with a style space of two layers."""

    latent_shape = (4,)
    num_ws = 2
    w_dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Linear(4, 4)
        self.out = nn.Linear(8, 3 * SIZE * SIZE)
        self.register_buffer("mean_w", torch.zeros(4))

    def sample_latents(self, n, *, rng=None, options=None) -> Tensor:
        return randn((n, 4), rng)

    def map(self, latents, condition=None) -> Tensor:
        return self.mapping(latents).unsqueeze(1).expand(-1, 2, -1)

    def synthesize(self, ws, *, rng=None) -> Tensor:
        return self.out(ws.flatten(1).tanh()).sigmoid().view(-1, 3, SIZE, SIZE)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None) -> Tensor:
        return self.synthesize(self.map(latents, condition), rng=rng)


class TinyCritic(Critic):
    """Two votes a picture, and where asked a loss of its own."""

    def __init__(self, classes: int = 0, own_loss: bool = False, size: int = SIZE) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2)
        self.last = nn.Linear(8 * ((size - 1) // 2) ** 2, 2)
        self.classes = nn.Embedding(classes, 2) if classes else None
        self.own_loss = own_loss

    def forward(self, images, condition: Condition | None = None):
        hidden = torch.nn.functional.softplus(self.first(images))
        votes = self.last(hidden.flatten(1)).to(self.picture_dtype)
        if self.classes is not None:
            votes = votes + self.classes(condition.labels)
        return CriticOutput(votes, {"size": hidden.square().mean()}) if self.own_loss else votes


def networks(classes: int = 0, **critic) -> tuple[TinyGenerator, TinyCritic]:
    """Return both, the same at each call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TinyGenerator(classes).eval(), TinyCritic(classes, **critic).eval()


def write_npz(path: Path, n: int = 50, classes: int = 0, size: int = SIZE) -> Path:
    """Write pictures of one bright row each; its position is the class."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (n, size, size, 3), dtype=np.uint8)
    rows = np.arange(n) % max(2, classes)
    images[np.arange(n), rows] = 250
    np.savez(path, images=images, **({"labels": rows.astype(np.uint8)} if classes else {}))
    return path
