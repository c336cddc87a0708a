"""What the recipes of this plugin share: the generator, gradients averaged over processes, and the dry run.

They start from the shipped weights unless they are told otherwise, and average gradients over processes themselves,
since the model's `forward` is its sampler and not its loss.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from ganart_latent_flow.autoencoder import STRIDE
from ganart_latent_flow.model import LatentFlow
from ganart_zoo.contract import ImageError, Model, ModelError
from ganart_zoo.training import Recipe

__all__ = ["BETAS", "LatentRecipe"]

BETAS = (0.9, 0.98)
_MOST_NAMED = 20
"""Unreadable pictures that a dry run names."""
_STEPS_TIMED = 3


class LatentRecipe(Recipe):
    """A recipe that trains a part of a latent flow.

    Args:
        config: How it learns.
        networks: `"generator"`, a latent flow.
        **uses: Frozen models.
    """

    requires: ClassVar[Mapping[str, Sequence[str]]] = {"generator": ("trainable",)}
    enlarged: ClassVar[int] = 1
    """Side of the data's pictures as a multiple of that of the model's own."""

    _optimizer: torch.optim.Optimizer

    def __init__(self, config: Any, networks: Mapping[str, Model], **uses: Model) -> None:
        super().__init__(config, networks, **uses)
        generator = networks["generator"]
        if not isinstance(generator, LatentFlow):
            raise ModelError(f"the recipe trains latent_flow of ganart-latent-flow, not {type(generator).__name__}")
        self.generator = generator

    def check(self) -> None:
        """Compare the sizes of the model and the data.

        Raises:
            ModelError: They differ.
        """
        own, size = self.generator.latent_shape[1] * STRIDE, self.engine.data.size
        side = own * self.enlarged
        if side != size:
            needs = f", and learns from {side}×{side}" if self.enlarged > 1 else ""
            raise ModelError(
                f"the model makes pictures of {own}×{own}{needs}, and the data has {size}×{size}; give --size {side}"
            )

    def averaged_model(self) -> LatentFlow:
        """Return the moving average of the generator."""
        average = self.engine.average()
        assert isinstance(average, LatentFlow)
        return average

    def descend(self) -> None:
        """Take a step of the optimizer, with gradients averaged over processes."""
        if self.engine.accelerator.num_processes > 1:
            for group in self._optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad = self.engine.mean(parameter.grad)
        self.engine.step(self._optimizer)

    def dry_run(self) -> dict[str, Any]:
        """Return facts about the data, the memory, and the time that the training will take on this machine.

        Every picture is read once. A few steps are timed, the first of which does not count; the generator is then as
        it was before.
        """
        data = self.engine.data
        unreadable: list[str] = []
        readable = bare = 0
        for sample in data.once():
            if isinstance(sample, ImageError):
                unreadable.append(str(sample))
            else:
                readable += 1
                bare += not sample.prompt
        trained = sum(p.numel() for p in self.generator.parameters() if p.requires_grad)
        seconds = self._seconds_per_step()
        return {
            "pictures": readable,
            **({"pictures_without_caption": bare} if "prompt" in self.engine.conditions else {}),
            "unreadable_pictures": len(unreadable),
            **({"unreadable": unreadable[:_MOST_NAMED]} if unreadable else {}),
            "trained_parameters": trained,
            "megabytes_of_training_state": round(trained * 4 * 5 / 1e6),
            "seconds_per_step": round(seconds, 3),
            "expected_minutes": round(seconds * self.config.steps / 60, 1),
        }

    def _seconds_per_step(self) -> float:
        before = {name: tensor.clone() for name, tensor in self.generator.own_state().items()}
        batches = self.engine.data.loader(self.engine.share, self.config.seed, 0)()
        seconds = []
        for _ in range(_STEPS_TIMED):
            parts = [next(batches) for _ in range(self.config.accumulate)]
            began = time.perf_counter()
            self.step(parts)
            seconds.append(time.perf_counter() - began)
        self.generator.load_own_state(before)
        self._optimizer.state.clear()
        return min(seconds[1:])
