"""A plugin whose models do what plugins should not: what isolation has to survive. It is imported by its processes."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import Any, Literal

import torch
from torch import Tensor

from ganart_zoo import ModelSpec, hookimpl
from ganart_zoo.contract import Backbone as BackboneBase
from ganart_zoo.contract import (
    Condition,
    Critic,
    Generator,
    LayerInfo,
    ModelError,
    Settings,
    SettingsError,
    StepEvent,
    StyleGenerator,
    StyleTransfer,
    randn,
)

KEPT: list[Any] = []


class Config(Settings):
    side: int = 8
    prints: bool = False


class Options(Settings):
    does: Literal[
        "paint", "segfault", "exit", "hang", "leak", "print", "raise", "refuse", "lambda", "memory", "steps", "pid"
    ] = "paint"
    steps: int = 4


class OwnError(ModelError):
    """An error class of the plugin."""


class Painter(Generator):
    latent_shape = (4,)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.prints:
            print("constructed")
        self.scale = torch.nn.Parameter(torch.randn(3))

    def sample_latents(self, n: int, *, rng: Any = None, options: Options | None = None) -> Tensor:
        return randn((n, 4), rng)

    def forward(
        self,
        latents: Tensor,
        condition: Condition | None = None,
        *,
        rng: Any = None,
        options: Options | None = None,
        on_step: Any = None,
    ) -> Tensor:
        chosen = options or Options()
        side = self.config.side  # type: ignore[union-attr]
        picture = latents.mean(dim=1)[:, None, None, None] * self.scale[:, None, None].expand(3, side, side)
        match chosen.does:
            case "segfault":
                ctypes.string_at(0)
            case "exit":
                os._exit(3)
            case "hang":
                time.sleep(60)
            case "leak":
                for _ in range(200):
                    KEPT.append(torch.ones(4 << 20))
                    time.sleep(0.003)
            case "print":
                print("on standard output")
                sys.__stdout__.write("also there\n")  # type: ignore[union-attr]
            case "raise":
                raise ZeroDivisionError("of the plugin")
            case "refuse":
                raise OwnError("not this picture")
            case "lambda":
                return OwnError  # type: ignore[return-value]
            case "memory":
                raise MemoryError("none left")
            case "pid":
                return torch.full((len(latents), 3, 1, 1), float(os.getpid()), dtype=torch.float64)
            case "steps":
                for step in range(1, chosen.steps + 1):
                    event = StepEvent.of(
                        step, chosen.steps, "paint", {"loss": 1 / step}, picture=picture * 0 + step / 8
                    )
                    if on_step is not None and on_step(event) is False:
                        return picture * 0 + step
                return picture * 0 + chosen.steps
        if rng is not None or chosen.does == "paint":
            picture = picture + randn(picture.shape, rng)
        return picture


class Judge(Critic):
    def embed(self, condition: Condition) -> Condition:
        lengths = [float(len(prompt)) for prompt in condition.prompts or ()]
        return condition._replace(embedding=torch.tensor(lengths)[:, None])

    def forward(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        if images.shape[2] < 4:
            raise SettingsError(f"pictures have {images.shape[2]} rows, expected at least 4")
        return images.mean(dim=(2, 3))


@hookimpl
def ganart_models() -> list[ModelSpec]:
    common: dict[str, Any] = {"summary": "Unruly.", "license": "MIT"}
    painter = f"{__name__}:Painter"
    return [
        ModelSpec(
            name="painter",
            kind="generator",
            factory=painter,
            config=f"{__name__}:Config",
            options=f"{__name__}:Options",
            capabilities=frozenset({"unconditional", "differentiable", "trainable"}),
            **common,
        ),
        ModelSpec(name="judge", kind="critic", factory=f"{__name__}:Judge", **common),
    ]


__all__ = ["BackboneBase", "LayerInfo", "StyleGenerator", "StyleTransfer"]
