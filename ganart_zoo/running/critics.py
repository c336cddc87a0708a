"""Critics as tasks use them: loaded from a name or a run, given pictures as they need them, their scores checked."""

from __future__ import annotations

import torch
from torch import Tensor

from ganart_zoo.contract.condition import Condition
from ganart_zoo.contract.errors import ModelError, SettingsError
from ganart_zoo.contract.models import Critic
from ganart_zoo.data.pictures import fit_square
from ganart_zoo.running.classes import class_label
from ganart_zoo.running.loaded import Loaded

__all__ = ["LoadedCritic"]


class LoadedCritic(Loaded[Critic]):
    """A critic."""

    kind = "critic"

    def condition(self, label: int | str | None) -> Condition | None:
        """Return the condition of all pictures of a task.

        Args:
            label: The class to judge pictures as, by number or name; None for a critic without classes.

        Raises:
            SettingsError: The critic has classes and none was given, or lacks this one.
        """
        name, names = self.entry.canonical, tuple(getattr(self.model.config, "class_names", ()))
        if label is None:
            if names:
                raise SettingsError(
                    f"{name} judges pictures as one of its classes; give one of {', '.join(names[:20])}"
                )
            return None
        if not names:
            raise SettingsError(f"{name} has no classes to judge pictures as; leave the class out")
        return Condition(labels=torch.tensor([class_label(name, names, label)], device=self.model.device))

    def fit(self, image: Tensor) -> Tensor:
        """Return a picture `[1, 3, H, W]` in 0..1 as a square of the critic's `resolution`, if it has one."""
        side = getattr(self.model.config, "resolution", None)
        if side is None:
            return image
        return fit_square(image, side, crop="centre", flip=False, seed=0)[None].float().div(255)

    def score(self, images: Tensor, condition: Condition | None, what: str) -> Tensor:
        """Return the scores `[n]` of pictures `[n, 3, H, W]`, in float64 on the CPU; higher is better.

        Args:
            images: On any device.
            condition: Parts of 1 or n rows.
            what: What a message calls the pictures.

        Raises:
            ModelError: The critic returned another shape, NaN or infinity.
        """
        scores = self.model.score(images.to(self.model.device, self.model.compute_dtype), condition)
        if scores.shape != (len(images),):
            raise ModelError(
                f"{self.entry.canonical} scores {what} with {list(scores.shape)} values, expected [{len(images)}]"
            )
        scores = scores.to("cpu", torch.float64)
        if not torch.isfinite(scores).all():
            worst = float(scores[~torch.isfinite(scores)][0])
            raise ModelError(f"{self.entry.canonical} scores {what} with {worst}; its training diverged")
        return scores
