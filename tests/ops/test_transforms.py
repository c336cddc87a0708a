"""Forward-mode derivatives and the transforms of torch.func, over every differentiable op with a native kernel.

Tangents are compared with those that torch derives from the native reverse mode alone (the double-backward trick of
`torch.autograd.functional.jvp` and `hvp`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

from ganart_zoo import ops
from ganart_zoo.ops.conv3x3 import conv3x3, conv3x3_bias_act
from ganart_zoo.ops.conv4x4 import conv4x4, conv4x4_bias_act, conv4x4_transposed

TAPS = torch.tensor([1.0, 3, 3, 1]) / 8


class Case(NamedTuple):
    """A function of some tensors, and their shapes."""

    call: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]
    dtype: torch.dtype = torch.float64


FEATURES = (4, 3, 6, 5)
WEIGHT = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(3))
CASES = {
    "bias_act lrelu": Case(lambda x, b: ops.bias_act(x, b, act="lrelu"), (FEATURES, (3,))),
    "bias_act swish, clamped": Case(lambda x, b: ops.bias_act(x, b, act="swish", clamp=0.7), (FEATURES, (3,))),
    "bias_act linear": Case(lambda x, b: ops.bias_act(x, b, gain=3.0), (FEATURES, (3,))),
    "instance_norm_act": Case(lambda *a: ops.instance_norm_act(*a, act="tanh"), (FEATURES, (3,), (4, 3))),
    "batch_norm_act": Case(lambda *a: ops.batch_norm_act(*a, act="lrelu")[0], ((4, 3, 9, 8), (3,), (4, 3))),
    "adain": Case(ops.adain, (FEATURES, (4, 3), (4, 3))),
    "pixel_norm": Case(ops.pixel_norm, (FEATURES,)),
    "glu": Case(lambda x: ops.glu(x.transpose(0, 1)), (FEATURES,)),
    "minibatch_stddev": Case(lambda x: ops.minibatch_stddev(x, 2), (FEATURES,)),
    "upfirdn2d": Case(lambda x: ops.upfirdn2d(x, TAPS, up=2, down=(1, 3), padding=(2, 1, 1, 2)), (FEATURES,)),
    "gram_matrix": Case(ops.gram_matrix, (FEATURES,)),
    "style_loss": Case(ops.style_loss, (FEATURES, (3, 3))),
    "style_losses": Case(lambda x, y, t: ops.style_losses([x, y], [t, t], [1.0, 2.0]), (FEATURES, FEATURES, (3, 3))),
    "modulated_conv2d": Case(
        lambda x, w, s, n, b: ops.modulated_conv2d(x, w, s, padding=1, noise=n, bias=b, act="lrelu"),
        (FEATURES, (2, 3, 3, 3), (4, 3), (1, 1, 6, 5), (2,)),
    ),
    "conv2d_bias_act": Case(
        lambda x, w, b: ops.conv2d_bias_act(x, w, b, padding=1, act="relu"), (FEATURES, (2, 3, 3, 3), (2,))
    ),
    "winograd_conv2d": Case(
        lambda x, b: ops.winograd_conv2d(x, ops.winograd_kernel(WEIGHT), b), (FEATURES, (4,)), torch.float32
    ),
    "conv3x3": Case(conv3x3, (FEATURES, (4, 3, 3, 3)), torch.float32),
    "conv3x3_bias_act": Case(
        lambda x, w, b: conv3x3_bias_act(x, w, b, "lrelu", 0.2, 1.5, None),
        (FEATURES, (4, 3, 3, 3), (4,)),
        torch.float32,
    ),
    "conv4x4": Case(conv4x4, (FEATURES, (4, 3, 4, 4)), torch.float32),
    "conv4x4_bias_act": Case(
        lambda x, w, b: conv4x4_bias_act(x, w, b, "lrelu", 0.2, 1.5, None),
        (FEATURES, (4, 3, 4, 4), (4,)),
        torch.float32,
    ),
    "conv4x4_transposed": Case(conv4x4_transposed, (FEATURES, (3, 4, 4, 4)), torch.float32),
}

pytestmark = [
    pytest.mark.parametrize("case", CASES.values(), ids=CASES),
    pytest.mark.filterwarnings("ignore:There is a performance drop"),  # torch's loop where an op has no batching rule
]


def drawn(case: Case, seed: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator, dtype=case.dtype) for shape in case.shapes)


def assert_same(case: Case, found: object, expected: object) -> None:
    single = case.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-3 if single else 1e-6, atol=1e-3 if single else 1e-8)


def reverse_only_jvp(case: Case) -> tuple[Tensor, Tensor]:
    return torch.autograd.functional.jvp(case.call, drawn(case, 0), drawn(case, 1))


def test_jvp(case: Case) -> None:
    assert_same(case, torch.func.jvp(case.call, drawn(case, 0), drawn(case, 1)), reverse_only_jvp(case))


@pytest.mark.parametrize("requires_grad", [False, True])
def test_dual_numbers(case: Case, requires_grad: bool) -> None:
    inputs = [tensor.requires_grad_(requires_grad) for tensor in drawn(case, 0)]
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(*pair) for pair in zip(inputs, drawn(case, 1), strict=True)]
        found = forward_ad.unpack_dual(case.call(*duals))
        assert_same(case, tuple(found), reverse_only_jvp(case))


def test_a_tangent_of_any_one_input_counts(case: Case) -> None:
    for index, tangent in enumerate(drawn(case, 1)):
        alone = tuple(tangent if i == index else torch.zeros_like(x) for i, x in enumerate(drawn(case, 0)))
        expected = torch.autograd.functional.jvp(case.call, drawn(case, 0), alone)[1]
        with forward_ad.dual_level():
            inputs = list(drawn(case, 0))
            inputs[index] = forward_ad.make_dual(inputs[index], tangent)
            found = forward_ad.unpack_dual(case.call(*inputs)).tangent
            assert_same(case, torch.zeros_like(expected) if found is None else found, expected)


def test_without_tangents_the_kernels_run(case: Case) -> None:
    inputs = drawn(case, 0)
    outside = case.call(*inputs)
    with forward_ad.dual_level():
        assert torch.equal(case.call(*inputs), outside)


def test_traced_graphs(case: Case) -> None:
    """Such graphs call the native ops themselves, without the functions of `ops` that look for tangents."""
    inputs, tangents = drawn(case, 0), drawn(case, 1)
    graph = make_fx(lambda *tensors: case.call(*tensors))(*inputs)
    assert "ganart" in graph.code
    expected = reverse_only_jvp(case)
    assert_same(case, torch.func.jvp(graph, inputs, tangents), expected)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(*pair) for pair in zip(inputs, tangents, strict=True)]
        assert_same(case, tuple(forward_ad.unpack_dual(graph(*duals))), expected)


def test_composed(case: Case) -> None:
    inputs, tangents = drawn(case, 0), drawn(case, 1)
    numbers = tuple(range(len(inputs)))

    def square(*inputs: Tensor) -> Tensor:
        return case.call(*inputs).square().sum()

    # Under a transform the same definition is differentiated as in mode "reference".
    with ops.use("reference"):
        gradients = torch.autograd.functional.vjp(square, inputs)[1]
        products = torch.autograd.functional.hvp(square, inputs, tangents)[1]
    gradient = torch.func.grad(square, numbers)
    assert_same(case, gradient(*inputs), gradients)
    assert_same(case, torch.func.jvp(gradient, inputs, tangents)[1], products)

    def along(*inputs: Tensor) -> Tensor:
        return torch.func.jvp(square, inputs, tangents)[1]

    assert_same(case, torch.func.grad(along, numbers)(*inputs), products)


def test_vmap(case: Case) -> None:
    batches = [torch.stack(pair) for pair in zip(drawn(case, 0), drawn(case, 1), strict=True)]
    with ops.use("reference"):
        expected = torch.stack([case.call(*drawn(case, seed)) for seed in (0, 1)])
    assert_same(case, torch.func.vmap(case.call)(*batches), expected)


def test_gradients_of_native_results(case: Case) -> None:
    """Kernels ran forward, and a tangent or a batch comes in with the gradient."""
    inputs = [tensor.requires_grad_() for tensor in drawn(case, 0)]
    result = case.call(*inputs)
    outer = torch.randn(2, *result.shape, dtype=result.dtype, generator=torch.Generator().manual_seed(2))
    each = [torch.autograd.grad(result, inputs, one, retain_graph=True) for one in outer]
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(outer[0], outer[1])
        found = torch.autograd.grad(result, inputs, dual, retain_graph=True)
        tangents = tuple(forward_ad.unpack_dual(gradient).tangent for gradient in found)
        assert_same(case, tangents, each[1])
    batched = torch.autograd.grad(result, inputs, outer, is_grads_batched=True)
    assert_same(case, batched, tuple(map(torch.stack, zip(*each, strict=True))))
