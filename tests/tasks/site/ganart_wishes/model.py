"""`flat` paints one colour, `sigmoid(latents)`; `wish` wants the colour that a prompt names."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ganart_zoo.contract import Condition, Critic, Generator, Settings, randn

COLOURS = {"red": (1.0, 0.0, 0.0), "blue": (0.0, 0.0, 1.0), "grey": (0.5, 0.5, 0.5)}


class Flat(Generator):
    latent_shape = (3,)
    asked: ClassVar[list[Any]] = []

    def sample_latents(self, n, *, rng=None, options=None):
        return randn((n, 3), rng)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None):
        Flat.asked.append((len(latents), condition, options))
        side = (options.size if options else None) or 8
        return torch.sigmoid(latents)[:, :, None, None].expand(-1, -1, side, side)


class Stone(Flat):
    """Like `flat`, but no gradient passes."""

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None):
        return super().forward(latents.detach(), condition, options=None)


class Wild(Flat):
    """Paints far outside 0..1."""

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None):
        Flat.asked.append((len(latents), condition, options))
        return latents[:, :, None, None].expand(-1, -1, 8, 8)


class Bright(Critic):
    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        return images.mean(dim=(1, 2, 3)).unsqueeze(1)


class Wish(Critic):
    def embed(self, condition: Condition) -> Condition:
        wanted = [COLOURS[prompt] for prompt in condition.prompts or ()]
        return condition._replace(embedding=torch.tensor(wanted))

    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        assert condition is not None
        wanted = condition.embedding
        assert wanted is not None
        return -(images.mean(dim=(2, 3)) - wanted).square().sum(dim=1, keepdim=True)


class Likeness(Critic):
    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        assert condition is not None
        assert condition.images is not None
        wanted = condition.images.mean(dim=(2, 3))
        return -100 * (images.mean(dim=(2, 3)) - wanted).abs().sum(dim=1, keepdim=True)


class Asleep(Critic):
    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        return images.new_zeros(len(images), 1)


class Lost(Critic):
    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        return images.new_full((len(images), 1), float("nan"))


class Wide(Critic):
    def __init__(self, config: Settings | None) -> None:
        super().__init__(config)

    def score(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        return images.new_zeros(len(images), 3)
