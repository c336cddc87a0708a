"""Models whose results a test can compute by hand."""

from __future__ import annotations

import signal

import torch
from torch import nn
from torch.nn import functional

from ganart_tiny.config import Config, Options, PoolConfig
from ganart_zoo.contract import Backbone, LayerInfo, StepEvent, StyleTransfer, randn


class Pool(Backbone):
    """Means of blocks of pixels."""

    layers = {"blocks": LayerInfo(3, 2)}  # noqa: RUF012  as the contract names it
    taps = {"style": ("blocks",), "content": ("blocks",), "critic": ("blocks",)}  # noqa: RUF012

    def __init__(self, config: PoolConfig) -> None:
        super().__init__()
        self.block = config.block
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images, layers):
        return {name: functional.avg_pool2d(images, self.block) * self.scale for name in self.check_layers(layers)}


class Blend(StyleTransfer):
    """Goes from the content to the mean colour of the styles, in steps, and adds noise of the seed."""

    def __init__(self, config: Config, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.layers = backbone.role_layers("style", config.layers)

    def stylize(self, content, styles, *, init=None, rng=None, options=None, on_step=None):
        options = options or Options()
        target = sum(
            share * style.image.mean(dim=(2, 3), keepdim=True)
            for share, style in zip(self.shares(styles), styles, strict=True)
        )
        where = 1.0 if styles[0].region is None else styles[0].region
        start = content if init is None else init
        grain = 0.05 * randn(content.shape, rng) if options.noise else 0.0
        for step in range(1, options.steps + 1):
            share = where * options.alpha * step / options.steps
            picture = start + share * (target - start) + grain
            event = StepEvent(step, options.steps, "blend", {"loss": 1 / step}, lambda now=picture: now)
            if step in options.interrupt_at:
                for _ in range(2 if options.interrupt_twice else 1):
                    signal.raise_signal(signal.SIGINT)
            if on_step is not None and on_step(event) is False:
                break
        return picture


class Named(StyleTransfer):
    """Two styles of its own: shades of grey."""

    style_names = ("dark", "light")

    def stylize(self, content, styles, *, init=None, rng=None, options=None, on_step=None):
        shares = dict.fromkeys(self.style_names, 0.0)
        for share, style in zip(self.shares(styles), styles, strict=True):
            shares[style.name] += share
        return torch.full_like(content, shares["light"])


class Negative(StyleTransfer):
    """Inverts."""

    def stylize(self, content, styles, *, init=None, rng=None, options=None, on_step=None):
        return 1 - content


class Broken(StyleTransfer):
    """Fails as a bug would."""

    def stylize(self, content, styles, *, init=None, rng=None, options=None, on_step=None):
        raise RuntimeError("shapes\ndo not fit")
