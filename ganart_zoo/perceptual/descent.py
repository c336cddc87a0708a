"""Gradient descent that keeps the best picture so far: the loop of one scale, one search or one dream."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.adam import adam

from ganart_zoo.contract.errors import ModelError

__all__ = ["LBFGS", "Adam", "Descent", "Evaluation", "NormalizedGradient", "descend"]

_WINDOW = 20
"""Steps whose mean loss is compared with that of as many steps before."""

_NO_GRADIENT = 1e-12
"""The least mean absolute gradient that a step is divided by."""


class Evaluation(NamedTuple):
    """The loss at one step, and the picture it belongs to."""

    loss: Tensor
    """A scalar; or `[n]`, one loss for each of n independent pictures, whose best are then kept one by one."""
    picture: Tensor
    """`[n, 3, H, W]`."""
    terms: Mapping[str, Tensor] = MappingProxyType({})
    """Named parts of the loss, for reports."""


class Descent(NamedTuple):
    """How a descent ended."""

    picture: Tensor
    """`[n, 3, H, W]`, detached: the picture of the lowest loss, or of each row's lowest; or the average asked for."""
    loss: Tensor
    """The lowest loss, of the shape of `Evaluation.loss`."""
    parameters: tuple[Tensor, ...]
    """Copies of the parameters at the lowest loss, where `keep_parameters` asked for them; otherwise empty."""
    steps: int
    """Steps taken."""
    stopped: bool
    """Whether `on_step` asked for an end."""


def descend(
    optimizer: torch.optim.Optimizer,
    evaluate: Callable[[int], Evaluation],
    *,
    steps: int,
    last_rate: float = 1.0,
    plateau: float = 0.0,
    average: int = 0,
    keep_parameters: bool = False,
    on_step: Callable[[Evaluation, Descent], bool | None] | None = None,
) -> Descent:
    """Lower a loss for at most `steps` steps, and return the best picture.

    Every step computes the gradient of the optimizer's parameters alone: the weights of a network inside `evaluate` get
    none, whoever owns them. The best of n steps is among the pictures that were evaluated, so the start counts and the
    result of the last update does not.

    Args:
        optimizer: Holds the parameters, as tensors that require gradients, and the learning rate.
        evaluate: Takes the number of a step, from 0, and returns its loss and picture.
        steps: Gradients to compute.
        last_rate: The learning rate falls along half a cosine to this share of itself, in 0..1; 1 keeps it.
        plateau: End early when the mean loss of 20 steps is below that of the 20 steps before by less than this share
            of it. 0: never.
        average: Return the mean of about this many last pictures in place of the best one: each picture counts
            `1 - 1 / average` as much as the next. Polyak and Juditsky, "Acceleration of stochastic approximation by
            averaging", 1992. 0: the best one.
        keep_parameters: Copy the parameters of the best step too; not for losses of shape `[n]`.
        on_step: Called with the detached evaluation of a step and the best so far; a true result ends the descent.

    Raises:
        ModelError: The loss became infinite or NaN.

    Example:
        >>> picture = torch.zeros(1, 3, 8, 8, requires_grad=True)
        >>> optimizer = Adam([picture], lr=0.1)
        >>> def evaluate(step):
        ...     return Evaluation((picture - 0.5).square().mean(), picture)
        >>> descend(optimizer, evaluate, steps=100, last_rate=0.1).picture.mean().round(decimals=3)
        tensor(0.5000)
    """
    parameters: list[Tensor] = [tensor for group in optimizer.param_groups for tensor in group["params"]]
    rates: list[float] = [group["lr"] for group in optimizer.param_groups]
    best: Descent | None = None
    totals: list[float] = []
    mean: Tensor | None = None
    for step in range(steps):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * _falling(step / steps, last_rate)
        kept: list[tuple[Evaluation, tuple[Tensor, ...]]] = []

        def closure(step: int = step, kept: list[tuple[Evaluation, tuple[Tensor, ...]]] = kept) -> Tensor:
            with torch.enable_grad():
                evaluation = evaluate(step)
                loss = evaluation.loss if evaluation.loss.ndim == 0 else evaluation.loss.sum()
            # Not backward(), which would give gradients to the network's weights too.
            for tensor, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                tensor.grad = gradient
            copies = tuple(tensor.detach().clone() for tensor in parameters) if keep_parameters else ()
            kept.append((_detached(evaluation, parameters), copies))
            return loss.detach()

        total = float(optimizer.step(closure))  # type: ignore[arg-type]
        ((evaluation, copies),) = kept
        for tensor in parameters:  # a large picture's gradient is in the way of the next evaluation
            tensor.grad = None
        if not math.isfinite(total):
            raise ModelError(
                f"the loss became {total} at step {step + 1}; lower learning_rate from {rates[0]:g} or the weights of "
                "the losses"
            )
        best = _better(best, evaluation, copies, step + 1)
        if average:
            mean = evaluation.picture if mean is None else mean.lerp(evaluation.picture, 1 / min(step + 1, average))
        if on_step is not None and on_step(evaluation, best):
            best = best._replace(stopped=True)
            break
        del evaluation, copies
        kept.clear()
        totals.append(total)
        if plateau and _is_flat(totals, plateau):
            break
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    if best is None:
        raise ModelError(f"a descent of {steps} steps has no picture; take at least one step")
    return best if mean is None else best._replace(picture=mean)


class _Lean(torch.optim.Optimizer):
    """An optimizer that is built without importing torch's compiler, which takes seconds."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add tensors that require gradients, with their settings."""
        self.param_groups.append({**self.defaults, **param_group, "params": list(param_group["params"])})


class Adam(_Lean):
    """`torch.optim.Adam(parameters, lr, betas, fused=True)`, which takes the same steps, bit for bit.

    Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.

    Args:
        parameters: Tensors that require gradients, all of one device.
        lr: The learning rate.
        betas: How much the averages of gradients and of their squares keep at each step, each in 0..1 and below 1.
    """

    _EPS = 1e-8

    def __init__(self, parameters: Sequence[Tensor], lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step along the gradients, which `closure` computes if it is given; return its result."""
        result = None if closure is None else closure()
        for group in self.param_groups:
            tensors = [tensor for tensor in group["params"] if tensor.grad is not None]
            states = [self._state_of(tensor) for tensor in tensors]
            adam(
                tensors,
                [_laid_out(tensor.grad, tensor) for tensor in tensors],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=True,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=0.0,
                eps=self._EPS,
                maximize=False,
            )
        return result

    def _state_of(self, tensor: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[tensor]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=tensor.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(tensor), torch.zeros_like(tensor)
        return state


class LBFGS(_Lean, torch.optim.LBFGS):
    """`torch.optim.LBFGS(parameters, lr, max_iter=1)` without tolerances: each step computes one gradient.

    What was learned of the curvature is kept from step to step.

    Args:
        parameters: Tensors that require gradients, all of one device.
        lr: The learning rate.
    """

    def __init__(self, parameters: Sequence[Tensor], lr: float) -> None:
        super().__init__(parameters, lr, max_iter=1, tolerance_grad=0, tolerance_change=0)


class NormalizedGradient(_Lean):
    """Steps of the same length whatever the size of the gradient: `x -= lr * g / mean |g|`, for each row by itself.

    With `lr` 0.01 the values of a picture change by 0.01 on average. Mordvintsev, Olah, Tyka, "Inceptionism: Going
    Deeper into Neural Networks", 2015.

    Args:
        parameters: Pictures `[n, ...]`, whose rows are independent.
        lr: The mean absolute change of a step.
        smooth: Applied to each gradient before it is normalised. None: nothing.
    """

    def __init__(
        self, parameters: Sequence[Tensor], lr: float, smooth: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__(parameters, {"lr": lr})
        self._smooth = smooth

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step along the gradients, which `closure` computes if it is given; return its result."""
        result = None if closure is None else closure()
        for group in self.param_groups:
            for tensor in group["params"]:
                if tensor.grad is not None:
                    gradient = tensor.grad if self._smooth is None else self._smooth(tensor.grad)
                    size = gradient.abs().mean(dim=tuple(range(1, gradient.ndim)), keepdim=True)
                    tensor.sub_(gradient / size.clamp_min(_NO_GRADIENT), alpha=group["lr"])
        return result


def _laid_out(gradient: Tensor, like: Tensor) -> Tensor:
    """Return the gradient with the strides of its parameter, which the fused kernel takes for granted."""
    return gradient if gradient.stride() == like.stride() else torch.empty_like(like).copy_(gradient)


def _better(best: Descent | None, evaluation: Evaluation, copies: tuple[Tensor, ...], step: int) -> Descent:
    """Return the best after one more evaluation."""
    loss, picture = evaluation.loss, evaluation.picture
    if best is None:
        return Descent(picture, loss, copies, step, False)
    if loss.ndim == 0:
        return Descent(picture, loss, copies, step, False) if loss < best.loss else best._replace(steps=step)
    better = loss < best.loss
    rows = better.view(-1, *[1] * (picture.ndim - 1))
    return Descent(torch.where(rows, picture, best.picture), torch.where(better, loss, best.loss), (), step, False)


def _detached(evaluation: Evaluation, parameters: Sequence[Tensor]) -> Evaluation:
    """Return the evaluation without its graph, and its picture without the memory of parameters, which steps change."""
    loss, picture, terms = evaluation
    memory = {tensor.untyped_storage().data_ptr() for tensor in parameters}
    own = picture.detach()
    if own.untyped_storage().data_ptr() in memory:
        own = own.clone()
    return Evaluation(loss.detach(), own, {name: term.detach() for name, term in terms.items()})


def _is_flat(totals: Sequence[float], plateau: float) -> bool:
    """Say whether the mean has fallen by less than `plateau` of itself. Single losses vary with the shift."""
    if len(totals) < 2 * _WINDOW:
        return False
    before, now = sum(totals[-2 * _WINDOW : -_WINDOW]), sum(totals[-_WINDOW:])
    return before - now < plateau * before


def _falling(progress: float, last: float) -> float:
    return last + (1 - last) * (1 + math.cos(math.pi * progress)) / 2
