"""One model under test, and the small inputs it is called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from ganart_zoo.contract import (
    Backbone,
    Condition,
    Critic,
    CriticOutput,
    Generator,
    Model,
    ModelSpec,
    OnStep,
    Style,
    StyleTransfer,
    generator,
)
from ganart_zoo.registry import Zoo

__all__ = ["Check", "Subject"]


@dataclass(frozen=True)
class Subject:
    """A model of a zoo, and how to call it in little time.

    Pictures given to it are noise; a float32 call and its repetition must agree bit for bit, and rows of batches of
    different sizes to `tolerance`.
    """

    zoo: Zoo
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """For `Zoo.create`: a small resolution, `weights=None`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """For each call: few steps."""
    condition: Condition | None = None
    """One row, for models that need one."""
    styles: Sequence[Style] = ()
    """For style transfer; none means one noise picture for models that take pictures, else none."""
    size: tuple[int, int] = (37, 50)
    """Height and width of the pictures given to it."""
    tolerance: float = 1e-5

    @property
    def spec(self) -> ModelSpec:
        """Its declaration."""
        return self.zoo.spec(self.name)

    def create(self, **changes: Any) -> Model:
        """Build it, with some of its settings changed."""
        return self.zoo.create(self.name, **{**self.settings, **changes})

    def images(self, n: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return noise pictures `[n, 3, H, W]` in 0..1; row i depends on i and the seed alone."""
        rows = [torch.rand((1, 3, *self.size), generator=generator(seed + row)) for row in range(n)]
        return torch.cat(rows).to(dtype) if rows else torch.empty((0, 3, *self.size), dtype=dtype)

    def chosen_styles(self, dtype: torch.dtype = torch.float32) -> Sequence[Style]:
        """Return the styles for a call."""
        if self.styles or "image_styles" not in self.spec.capabilities:
            return self.styles
        return (Style(image=self.images(1, seed=1000, dtype=dtype)),)

    def call(
        self,
        model: Model,
        n: int = 2,
        *,
        seed: int = 0,
        rng: torch.Generator | Sequence[torch.Generator] | None = None,
        images: Tensor | None = None,
        on_step: OnStep | None = None,
        options: Any = None,
    ) -> list[Tensor]:
        """Make the kind's one call on n rows, and return the tensors it gives.

        Args:
            model: From `create`.
            n: Rows.
            seed: Row i of the inputs comes from `seed + i`.
            rng: For the call; None gives row i the generator `seed + i`.
            images: In place of the noise pictures (or of the latents of a generator).
            on_step: For the kinds that take it.
            options: In place of the subject's.
        """
        rows = [generator(seed + row) for row in range(n)] if rng is None else rng
        chosen = self.zoo.options(self.name, **self.options) if options is None else options
        given = self.images(n, seed, model.picture_dtype) if images is None else images
        if isinstance(model, Generator):
            latents = images
            if latents is None:
                latents = model.sample_latents(n, rng=[generator(seed + row) for row in range(n)], options=chosen)
            return [model(latents, self.condition, rng=rows, options=chosen, on_step=on_step)]
        if isinstance(model, Critic):
            output = model(given, self.condition)
            return [output.votes if isinstance(output, CriticOutput) else output]
        if isinstance(model, StyleTransfer):
            styles = self.chosen_styles(model.picture_dtype)
            return [model.stylize(given, styles, rng=rows, options=chosen, on_step=on_step)]
        backbone = cast(Backbone, model)
        return list(backbone(given, tuple(backbone.layers)).values())


Check = Callable[[Subject], None]
"""Raises `AssertionError` where the subject breaks the contract."""
