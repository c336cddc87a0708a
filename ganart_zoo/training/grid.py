"""Samples of a generator that are comparable from one step of a training to the next."""

from __future__ import annotations

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.models import Generator

__all__ = ["FixedSamples"]


class FixedSamples:
    """Generates pictures of the same latents and conditions each time it is called.

    Args:
        generator: Draws the latents.
        rng: One random generator per picture.
        condition: One row per picture, or None.
        chunk: Pictures generated at once.
    """

    def __init__(
        self, generator: Generator, rng: list[torch.Generator], condition: Condition | None, chunk: int
    ) -> None:
        self._latents = generator.sample_latents(len(rng), rng=rng)
        self._condition = condition
        self._chunk = chunk

    @torch.no_grad()
    def __call__(self, generator: Generator) -> Tensor:
        """Return the pictures of a generator in eval mode, `[n, 3, H, W]` on the CPU."""
        pictures = []
        for start in range(0, len(self._latents), self._chunk):
            stop = start + self._chunk
            condition = None
            if self._condition is not None:
                labels, prompts = self._condition.labels, self._condition.prompts
                condition = Condition(
                    labels=None if labels is None else labels[start:stop],
                    prompts=None if prompts is None else prompts[start:stop],
                )
            pictures.append(generator(self._latents[start:stop].to(generator.device), condition).cpu())
        return torch.cat(pictures)
