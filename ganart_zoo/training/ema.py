"""The moving average of a generator's weights, which is what a run keeps and samples from."""

from __future__ import annotations

import copy

import torch

from ganart_zoo.contract.models import Model

__all__ = ["MovingAverage", "averaging_decay"]


def averaging_decay(decay: float, ramp: float, step: int) -> float:
    """Return the share that the average keeps at a step.

    The half-life of the average is that of `decay`, but at most `ramp` times the steps done so far, so that a young
    average forgets the untrained weights. Karras et al. 2019 (StyleGAN2), https://arxiv.org/abs/1912.04958, as trained.

    Args:
        decay: In 0..1: where the ramp leads to.
        ramp: Half-life per step done; 0 for none.
        step: Steps done before this one, from 0.
    """
    if ramp == 0 or decay == 0:
        return decay
    return min(decay, 0.5 ** (1 / (ramp * step))) if step > 0 else 0.0


class MovingAverage:
    """`average = decay * average + (1 - decay) * model`, over own parameters and floating-point buffers.

    Models that `model` is built on are shared, not copied; whole-number buffers are taken over as they are.
    """

    def __init__(self, model: Model) -> None:
        shared = {id(borrowed): borrowed for borrowed in model.borrowed().values()}
        self.model = copy.deepcopy(model, shared).eval().requires_grad_(False)
        self._source = model

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move towards the model's present weights."""
        # looked up each time, for moving a model to a device (as a launcher's processes do) gives it other tensors
        present_state = self._source.own_state()
        for name, average in self.model.own_state().items():
            present = present_state[name]
            if average.is_floating_point():
                average.lerp_(present, 1 - decay)
            else:
                average.copy_(present)
