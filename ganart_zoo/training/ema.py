"""The moving average of a network's weights, which a run saves and samples from."""

from __future__ import annotations

import copy

import torch

from ganart_zoo.contract.models import Model

__all__ = ["MovingAverage", "averaging_decay"]


def averaging_decay(decay: float, ramp: float, step: int) -> float:
    """Return the decay of the average at one step: the share of the old average that is kept.

    The half-life of the average is that of `decay`, but at most `ramp` times the steps done so far, so that a young
    average forgets the untrained weights. Karras et al. 2019 (StyleGAN2), https://arxiv.org/abs/1912.04958, as trained.

    Args:
        decay: The final decay, in 0..1.
        ramp: Largest half-life, as a share of the steps done; 0 for no limit.
        step: Steps done before this one, from 0.
    """
    if ramp == 0 or decay == 0:
        return decay
    return min(decay, 0.5 ** (1 / (ramp * step))) if step > 0 else 0.0


class MovingAverage:
    """`average = decay * average + (1 - decay) * model`, over own parameters and floating-point buffers.

    Models that `model` uses are shared, not copied. Integer buffers are copied as they are.
    """

    def __init__(self, model: Model) -> None:
        shared = {id(borrowed): borrowed for borrowed in model.borrowed().values()}
        self.model = copy.deepcopy(model, shared).eval().requires_grad_(False)
        self._source = model

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Update the average with the model's current weights."""
        # looked up each time, for moving a model to a device (as a launcher's processes do) gives it other tensors
        present_state = self._source.own_state()
        for name, average in self.model.own_state().items():
            present = present_state[name]
            if average.is_floating_point():
                average.lerp_(present, 1 - decay)
            else:
                average.copy_(present)
