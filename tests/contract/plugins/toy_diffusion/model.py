"""Ancestral sampling of a toy: each step moves towards a guided guess and adds less and less noise."""

import zlib

import torch
from torch import Tensor, nn

from ganart_zoo.contract import Condition, Generator, Rng, StepEvent, per_row, randn
from toy_diffusion.config import Config, Options

_WORDS = 8


class Denoise(Generator):
    """The guess is a convolution of the picture plus a colour that the text chooses."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.latent_shape = (3, config.resolution, config.resolution)
        self.guess = nn.Conv2d(3, 3, 3, padding=1)
        self.colour = nn.Embedding(_WORDS, 3)

    def sample_latents(self, n: int, *, rng: Rng = None, options: Options | None = None) -> Tensor:
        return randn((n, *self.latent_shape), rng, self.device, self.compute_dtype)

    def embed(self, condition: Condition) -> Condition:
        if condition.embedding is not None or condition.prompts is None:
            return condition
        return condition._replace(embedding=torch.stack([self._mean_colour(prompt) for prompt in condition.prompts]))

    def _mean_colour(self, text: str) -> Tensor:
        words = [zlib.crc32(word.encode()) % _WORDS for word in text.split()] or [0]
        return self.colour(torch.tensor(words, device=self.device)).mean(dim=0)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None) -> Tensor:
        options = options or Options()
        n = len(latents)
        wanted = self.embed(condition or Condition()).rows(n).embedding
        unwanted = self._mean_colour(options.negative_prompt)
        aim = unwanted if wanted is None else unwanted + options.guidance * (wanted - unwanted)
        rows = per_row(rng, n)
        picture = latents.to(self.compute_dtype)
        for step in range(1, options.steps + 1):
            noise_left = 1 - step / options.steps
            guess = torch.tanh(self.guess(picture)) * 0.2 + aim.view(-1, 3, 1, 1)
            noise = randn(picture.shape, rows, self.device, self.compute_dtype)
            picture = (picture + guess) / 2 + 0.1 * noise_left * noise
            shown = self._picture(guess)
            event = StepEvent(step, options.steps, "denoise", {}, lambda shown=shown: shown.detach().clamp(0, 1))
            if on_step is not None and on_step(event) is False:
                return shown  # the guess at the clean picture is the best there is; `picture` still has its noise
        return self._picture(picture)

    def _picture(self, values: Tensor) -> Tensor:
        return values.to(self.picture_dtype) * 0.25 + 0.5
