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
    """A model of a zoo, and the arguments of a quick call.

    Its input pictures are noise. A float32 call and its repetition must agree bit for bit, and the rows of batches of
    different sizes must agree to within `tolerance`.
    """

    zoo: Zoo
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings for `Zoo.create`, such as a small resolution and `weights=None`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of each call, such as a small number of steps."""
    condition: Condition | None = None
    """A condition of one row, for models that need one."""
    styles: Sequence[Style] = ()
    """Styles for style transfer. If empty, models that take style pictures get one noise picture, others get none."""
    size: tuple[int, int] = (37, 50)
    """Height and width of the input pictures."""
    tolerance: float = 1e-5

    @property
    def spec(self) -> ModelSpec:
        """The model's declaration."""
        return self.zoo.spec(self.name)

    def create(self, **changes: Any) -> Model:
        """Build the model, with some of its settings changed."""
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
        """Call the model on n rows, by the method of its kind, and return the resulting tensors.

        Args:
            model: A model from `create`.
            n: The number of rows.
            seed: Row i of the inputs uses the seed `seed + i`.
            rng: The generator of the call; None gives row i its own, seeded with `seed + i`.
            images: Replaces the noise pictures, or the latents of a generator.
            on_step: The listener, for kinds that report steps.
            options: Replaces the subject's options.
        """
        rows = [generator(seed + row) for row in range(n)] if rng is None else rng
        chosen = self.zoo.options(self.name, **self.options) if options is None else options
        pictures = self.images(n, seed, model.picture_dtype) if images is None else images
        if isinstance(model, Generator):
            latents = images
            if latents is None:
                latents = model.sample_latents(n, rng=[generator(seed + row) for row in range(n)], options=chosen)
            return [model(latents, self.condition, rng=rows, options=chosen, on_step=on_step)]
        if isinstance(model, Critic):
            output = model(pictures, self.condition)
            return [output.votes if isinstance(output, CriticOutput) else output]
        if isinstance(model, StyleTransfer):
            styles = self.chosen_styles(model.picture_dtype)
            return [model.stylize(pictures, styles, rng=rows, options=chosen, on_step=on_step)]
        backbone = cast(Backbone, model)
        return list(backbone(pictures, tuple(backbone.layers)).values())


Check = Callable[[Subject], None]
"""Raises `AssertionError` where the subject breaks the contract."""
