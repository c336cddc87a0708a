"""Generators that paint their latents, and a critic that likes red."""

from __future__ import annotations

import torch
from torch import nn

from ganart_shapes.config import Config, Plain, Truncation
from ganart_zoo.contract import Critic, Generator, StepEvent, StyleGenerator, randn


class Flat(Generator):
    """One colour: red is the latent, green a tenth of the label, blue noise drawn after the latent."""

    latent_shape = (1,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.scale = nn.Parameter(torch.ones(()))

    def sample_latents(self, n, *, rng=None, options=None):
        return randn((n, 1), rng, self.device, self.compute_dtype)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None):
        n = len(latents)
        labels = torch.zeros(n) if condition is None else condition.rows(n).labels / 10
        noise = randn((n, 1), rng, self.device, self.compute_dtype)
        colour = torch.stack([self.scale * latents[:, 0], labels.to(latents), noise[:, 0]], dim=1)
        side = self.config.resolution
        return colour[:, :, None, None].expand(-1, -1, side, side).to(self.picture_dtype)


class Bands(StyleGenerator):
    """Four horizontal bands, each the colour that is its layer's style."""

    latent_shape = (3,)
    num_ws = 4
    w_dim = 3

    def __init__(self, config: Plain) -> None:
        super().__init__(config)
        self.register_buffer("mean_w", torch.tensor([0.2, 0.4, 0.6]))
        self.gain = nn.Parameter(torch.tensor(0.25))

    def sample_latents(self, n, *, rng=None, options=None):
        return randn((n, 3), rng, self.device, self.compute_dtype)

    def map(self, latents, condition=None):
        return (self.mean_w + self.gain * latents)[:, None].expand(-1, self.num_ws, -1)

    def synthesize(self, ws, *, rng=None):
        side = self.config.resolution
        return ws.permute(0, 2, 1).repeat_interleave(side // 4, dim=2)[..., None].expand(-1, -1, -1, side)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None):
        options = options or Truncation()
        return self.synthesize(self.truncate(self.map(latents, condition), options.truncation), rng=rng)


class Lettered(Bands):
    """Bands that are told a text: each letter adds a hundredth to every colour."""

    def map(self, latents, condition=None):
        letters = torch.tensor([len(text) for text in condition.rows(len(latents)).prompts])
        return super().map(latents) + letters[:, None, None] / 100


class Slow(Generator):
    """Takes four steps, and needs a text."""

    latent_shape = (3,)

    def sample_latents(self, n, *, rng=None, options=None):
        return randn((n, 3), rng, self.device, self.compute_dtype)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None):
        side = self.config.resolution
        pictures = (latents + len(condition.prompts[0]))[:, :, None, None].expand(-1, -1, side, side)
        for step in range(1, 5):
            event = StepEvent(step, 4, "denoise", {}, lambda: pictures)
            if on_step is not None and on_step(event) is False:
                break
        return pictures


class Echo(Generator):
    """Paints the reference picture, brighter by the latent."""

    latent_shape = (1,)

    def sample_latents(self, n, *, rng=None, options=None):
        return randn((n, 1), rng, self.device, self.compute_dtype)

    def forward(self, latents, condition=None, *, rng=None, options=None, on_step=None):
        return condition.rows(len(latents)).images + latents[:, :, None, None]


class Faulty(Generator):
    """Fails as a bug would."""

    latent_shape = (3,)

    def sample_latents(self, n, *, rng=None, options=None):
        raise RuntimeError("shapes\ndo not fit")


class Reddest(Critic):
    """Votes the mean of red; with classes, less the distance of ten times green to the label."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images, condition=None):
        red, green, _ = images.mean(dim=(2, 3)).unbind(dim=1)
        votes = self.scale * red
        if condition is not None and condition.labels is not None:
            votes = votes - (10 * green - condition.rows(len(images)).labels).abs()
        return votes[:, None]
