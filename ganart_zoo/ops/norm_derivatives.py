"""The derivatives that `instance_norm_act` and `batch_norm_act` share: those of a norm with a weight and a bias."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ganart_zoo.ops.dispatch import InnerOp, NativeOp
from ganart_zoo.ops.dtypes import sum_type
from ganart_zoo.ops.higher_order import gradient_of, pull_back, pulled_back
from ganart_zoo.ops.layout import like_features

__all__ = ["register_norm_derivatives"]


def register_norm_derivatives(op: NativeOp, define: Callable[..., Tensor]) -> None:
    """Give a loaded norm its gradients of first and second order.

    Args:
        op: `(x, weight, bias, act, negative_slope, eps) -> (y, two statistics)`. Beside it the library registers
            `<name>_backward`: `(grad, x, *statistics, weight, bias, act, negative_slope, eps)` to the gradients of x
            and of one weight and one bias per sample. The statistics get no gradient.
        define: Returns y in plain PyTorch, with the arguments of `op`.
    """

    def backward_reference(
        grad: Tensor,
        x: Tensor,
        first: Tensor,
        second: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        *settings: Any,
    ) -> tuple[Tensor, ...]:
        """Return the gradients of x and of one weight and bias per sample; the statistics are computed anew."""
        return pulled_back(lambda *inputs: define(*inputs, *settings), grad, x, *_per_sample(x, weight, bias))

    name = op.name.partition("::")[2]
    inner = InnerOp(f"{name}_backward", backward_reference)

    def backward(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        x, first, second, weight, bias = ctx.saved_tensors
        if grad is None:
            return (None,) * 6
        grad_x, *gradients = inner(grad, x, first.detach(), second.detach(), weight, bias, *ctx.settings)
        values = [
            None if value is None else gradient.sum_to_size(value.shape)
            for value, gradient in zip((weight, bias), gradients, strict=True)
        ]
        return grad_x, *values, None, None, None

    def double_backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        grad, x, weight, bias = ctx.saved_tensors

        def gradients(grad: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Sequence[Tensor | None]:
            values = (each if each.requires_grad else each.requires_grad_() for each in _per_sample(x, weight, bias))
            return gradient_of(lambda *inputs: define(*inputs, *ctx.settings))(grad, x, *values)

        grad_grad, grad_x, grad_weight, grad_bias = pull_back(gradients, (grad, x, weight, bias), cotangents)
        return grad_grad, grad_x, None, None, grad_weight, grad_bias, None, None, None

    torch.library.register_fake(f"ganart::{name}_backward", _like_gradients)
    op.register_autograd(backward, setup_context=_setup)
    inner.register_autograd(double_backward, setup_context=_setup_backward)


def _per_sample(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    ones = torch.ones(x.shape[:2], dtype=sum_type(x.dtype), device=x.device)
    return ones if weight is None else ones * weight, ones * 0 if bias is None else ones * bias


def _like_gradients(grad: Tensor, x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    of_weight = x.new_empty(x.shape[:2], dtype=sum_type(x.dtype))
    return like_features(x), of_weight, torch.empty_like(of_weight)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, bias, *ctx.settings = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, output[1], output[2], weight, bias)


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    grad, x, _, _, weight, bias, *ctx.settings = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(grad, x, weight, bias)
