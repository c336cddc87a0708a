"""Derivatives of native backward ops by plain PyTorch, so that they exist to any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganart_zoo.ops.dispatch import is_transformed

__all__ = ["gradient_of", "pull_back", "pulled_back"]

Tensors = Sequence[Tensor | None]


def pull_back(function: Callable[..., Tensors], inputs: Tensors, cotangents: Tensors) -> list[Tensor | None]:
    """Return the gradient of `sum(function(*inputs) * cotangents)` for each input, None where it is zero.

    It is differentiable again where grad mode is on, as it is within a backward with `create_graph=True`.
    """
    if is_transformed(*inputs, *cotangents):
        return _pull_back_transformed(function, inputs, cotangents)
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Aliases, since one input may depend on another: each derivative holds the other inputs constant.
        aliases = [None if tensor is None else _alias(tensor, create_graph) for tensor in inputs]
        pairs = [
            (output, cotangent)
            for output, cotangent in zip(function(*aliases), cotangents, strict=True)
            if output is not None and cotangent is not None and output.requires_grad
        ]
        present = [tensor for tensor in aliases if tensor is not None]
        results: Sequence[Tensor | None] = [None] * len(present)
        if pairs:
            outputs, weights = zip(*pairs, strict=True)
            results = torch.autograd.grad(outputs, present, weights, create_graph=create_graph, allow_unused=True)
    following = iter(results)
    return [None if tensor is None else next(following) for tensor in aliases]


def pulled_back(reference: Callable[..., Tensor], grad: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the gradient of `sum(reference(*inputs) * grad)` for each input, under any transform."""
    gradients: tuple[Tensor, ...] = torch.func.vjp(reference, *inputs)[1](grad)
    return gradients


def _pull_back_transformed(
    function: Callable[..., Tensors], inputs: Tensors, cotangents: Tensors
) -> list[Tensor | None]:
    def outputs(*present: Tensor) -> list[Tensor]:
        following = iter(present)
        results = function(*(None if tensor is None else next(following) for tensor in inputs))
        return [
            output
            for output, cotangent in zip(results, cotangents, strict=True)
            if output is not None and cotangent is not None
        ]

    present = [tensor for tensor in inputs if tensor is not None]
    gradients = iter(torch.func.vjp(outputs, *present)[1]([tensor for tensor in cotangents if tensor is not None]))
    return [None if tensor is None else next(gradients) for tensor in inputs]


def gradient_of(reference: Callable[..., Tensor]) -> Callable[..., Tensors]:
    """Return the function `(grad, *inputs) -> gradients of sum(reference(*inputs) * grad)`, itself differentiable."""

    def gradient(grad: Tensor, *inputs: Tensor | None) -> Tensors:
        present = [tensor for tensor in inputs if tensor is not None]
        gradients = iter(torch.autograd.grad(reference(*inputs), present, grad, create_graph=True, allow_unused=True))
        return [None if tensor is None else next(gradients) for tensor in inputs]

    return gradient


def _alias(tensor: Tensor, keep_graph: bool) -> Tensor:
    return tensor.view_as(tensor) if keep_graph and tensor.requires_grad else tensor.detach().requires_grad_()
