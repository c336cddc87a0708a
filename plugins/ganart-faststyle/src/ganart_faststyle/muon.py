"""Muon for convolutions: momentum whose singular values are made equal before each step.

A filter bank is taken as a matrix, a row per output channel. K. Jordan et al., "Muon: an optimizer for hidden layers in
neural networks", 2024, https://kellerjordan.github.io/posts/muon/. PyTorch's own takes matrices only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "orthogonalized"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Steps by orthogonalised Nesterov momentum.

    Args:
        parameters: Of two dimensions or more; all but the first are taken as one.
        lr: The spectral norm of a step, about, for filters with fewer outputs than inputs times taps.
        momentum: Share of the running mean of gradients that is kept at each step.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step; return what `closure` returns, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group)
        return loss

    def _step(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.zeros_like(parameter)
        mean = state["mean"]
        mean.lerp_(parameter.grad, 1 - group["momentum"])
        update = orthogonalized(parameter.grad.lerp(mean, group["momentum"]).flatten(1))
        rows, columns = update.shape
        scale = max(1.0, rows / columns) ** 0.5
        parameter.add_(update.view_as(parameter), alpha=-group["lr"] * scale)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return a matrix `[m, n]` with all singular values brought to between 0.7 and 1.2, its singular vectors kept.

    Singular values below about a thousandth of the matrix's norm stay smaller. A matrix of zeros stays zero.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / x.norm().clamp_min(1e-12)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
