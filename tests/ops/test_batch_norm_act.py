"""Batch norm with scale, shift and activation: values, gradients to the second order, layouts, levels, threads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ganart_zoo import native, ops
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.batch_norm_act import _batch_norm_act, batch_norm_act_reference
from ganart_zoo.training import BatchNorm

from .layers import FAR, far_apart

NATIVE_OPS = ["ganart::batch_norm_act"]

needs_kernels = pytest.mark.skipif(native.ops_library() is None, reason=native.why_not_built() or "built")
KERNELS = torch.ops.ganart
# Channels that repeat within a vector, after several, and after many; rows of several pieces, and of one pixel.
SHAPES = [(1, 1, 3, 4), (2, 3, 5, 4), (3, 24, 9, 10), (2, 33, 7, 5), (5, 192, 4, 4), (7, 5, 1, 1), (2, 2, 93, 90)]


def drawn(shape: tuple[int, ...], per_row: bool) -> list[Tensor]:
    """Return x far from 0, weight, bias, and a gradient of the result."""
    generator = torch.Generator().manual_seed(sum(shape))
    values = shape[:2] if per_row else shape[1:2]
    x, weight, bias, grad = (torch.randn(s, generator=generator) for s in (shape, values, values, shape))
    return [x * 3 + 5, weight + 1, bias, grad]


def formula(x: Tensor, weight: Tensor, bias: Tensor, slope: float) -> Tensor:
    """Compute what the op is defined as, from its docstring."""
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    z = (x - mean) / (variance + 1e-5).sqrt() * weight[..., None, None] + bias[..., None, None]
    return torch.where(z > 0, z, z * slope)


SLOPES = {"relu": 0.0, "lrelu": 0.3, "linear": 1.0}


def check(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor, *acts: str) -> None:
    for act, slope in ((act, SLOPES[act]) for act in acts or SLOPES):
        leaves = [each.detach().requires_grad_() for each in (x, weight, bias)]
        y, mean, variance = _batch_norm_act(*leaves, act, 0.3, 1e-5)
        exact = [each.detach().double().requires_grad_() for each in (x, weight, bias)]
        expected = formula(*exact, slope)
        assert y.dtype == x.dtype
        found = [y, *torch.autograd.grad(y, leaves, grad)]
        wanted = [expected, *torch.autograd.grad(expected, exact, grad.double())]
        share = 2e-2 if x.dtype == torch.bfloat16 else 1e-4
        for one, other in zip(found, wanted, strict=True):
            # A result so near to 0 that rounding decides its slope is one in many.
            nearly = (one.double() - other).abs() <= share * max(1.0, other.abs().max().item())
            assert nearly.double().mean() > 0.98
        torch.testing.assert_close(mean.double(), exact[0].mean((0, 2, 3)).detach(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            variance.double(), exact[0].var((0, 2, 3), correction=0).detach(), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_formula(implementation, shape, per_row, layout) -> None:
    x, weight, bias, grad = drawn(shape, per_row)
    check(x.contiguous(memory_format=layout), weight, bias, grad.contiguous(memory_format=layout))


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES[2:], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_each_level_is_the_formula(level, shape, dtype) -> None:
    x, weight, bias, grad = drawn(shape, True)
    x, grad = x.to(dtype), grad.to(dtype)
    weight, bias = (each.double() if dtype == torch.float64 else each for each in (weight, bias))
    check(x.contiguous(memory_format=torch.channels_last), weight, bias, grad, "lrelu")
    check(x, weight, bias, grad.contiguous(memory_format=torch.channels_last), "relu")


@needs_kernels
def test_errors_are_at_most_twice_those_of_torch() -> None:
    for layout in (torch.contiguous_format, torch.channels_last):
        x, weight, bias, _ = drawn((16, 24, 32, 32), True)
        x = (x + 200).contiguous(memory_format=layout)
        exact = formula(x.double(), weight.double(), bias.double(), 0.0)
        ours, theirs = (
            (run(x, weight, bias, "relu", 0.2, 1e-5)[0] - exact).abs().max()
            for run in (_batch_norm_act, batch_norm_act_reference)
        )
        assert ours <= 2 * theirs


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.mT,
        lambda x: x[:, :, 1:, ::2],
        lambda x: x[:1].expand(3, -1, -1, -1),
        lambda x: x.contiguous(memory_format=torch.channels_last)[:, 1:],
        lambda x: x.contiguous(memory_format=torch.channels_last)[..., 1:],
    ],
)
def test_views_are_read_as_they_are(implementation, view) -> None:
    x = view(torch.randn(2, 5, 18, 20))
    grad = view(torch.randn(2, 5, 18, 20))
    check(x, torch.rand(x.shape[1]) + 1, torch.randn(x.shape[1]), grad)


@needs_kernels
@pytest.mark.parametrize("far", FAR)
def test_strides_may_exceed_32_bits(far, tmp_path) -> None:
    shape, strides = FAR[far]
    x = torch.randn(shape)
    settings = (None, None, "relu", 0.2, 1e-5)
    for one, other in zip(
        KERNELS.batch_norm_act(far_apart(x, strides, tmp_path / "x"), *settings),
        KERNELS.batch_norm_act(x, *settings),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("per_row", [False, True])
def test_gradients_of_gradients(implementation, per_row) -> None:
    x, weight, bias, _ = (each.double().requires_grad_() for each in drawn((2, 1, 8, 8), per_row))

    def layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return ops.batch_norm_act(x, weight, bias, act="lrelu")[0].flatten(2)[..., ::9]

    torch.autograd.gradcheck(layer, (x, weight, bias))
    torch.autograd.gradgradcheck(layer, (x, weight, bias))


@needs_kernels
def test_opcheck() -> None:
    x, weight, bias, grad = (each.requires_grad_() for each in drawn((2, 3, 5, 4), True))
    last = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    settings = ("lrelu", 0.2, 1e-5)
    torch.library.opcheck(KERNELS.batch_norm_act.default, (x, weight, bias, *settings))
    torch.library.opcheck(KERNELS.batch_norm_act.default, (last, None, None, *settings))
    statistics = (torch.zeros(3), torch.ones(3))
    torch.library.opcheck(
        KERNELS.batch_norm_act_backward.default,
        (grad.detach(), x.detach(), *statistics, weight.detach(), bias.detach(), *settings),
    )


@needs_kernels
def test_the_number_of_threads_changes_nothing(level) -> None:
    before = torch.get_num_threads()
    for layout in (torch.contiguous_format, torch.channels_last):
        x, weight, bias, grad = drawn((3, 24, 50, 49), True)
        x, found = x.contiguous(memory_format=layout), []
        for threads in (1, 2, 3, 3):
            torch.set_num_threads(threads)
            y, mean, variance = KERNELS.batch_norm_act(x, weight, bias, "relu", 0.2, 1e-5)
            back = KERNELS.batch_norm_act_backward(grad, x, mean, variance, weight, bias, "relu", 0.2, 1e-5)
            found.append([y, mean, variance, *back])
        torch.set_num_threads(before)
        assert all(all(map(torch.equal, one, found[0])) for one in found)


@needs_kernels
def test_no_elements() -> None:
    for shape in ((0, 3, 4, 4), (2, 3, 0, 4), (2, 0, 4, 4)):
        y, mean, variance = KERNELS.batch_norm_act(torch.zeros(shape), None, None, "relu", 0.2, 1e-5)
        assert y.shape == shape
        assert not mean.any()
        assert not variance.any()


def test_wrong_arguments_are_refused() -> None:
    x = torch.zeros(2, 3, 4, 4)
    with pytest.raises(SettingsError, match=r"weight has shape \[4\]"):
        ops.batch_norm_act(x, torch.ones(4))
    with pytest.raises(SettingsError, match="eps is 0"):
        ops.batch_norm_act(x, eps=0)
    if native.ops_library() is not None:
        with pytest.raises(RuntimeError, match="act is tanh, expected linear, relu or lrelu"):
            KERNELS.batch_norm_act(x, None, None, "tanh", 0.2, 1e-5)
        with pytest.raises(RuntimeError, match=r"mean has shape \[2, 3\], expected \[C\]"):
            KERNELS.batch_norm_act_backward(x, x, x[..., 0, 0], torch.ones(3), None, None, "relu", 0.2, 1e-5)


def test_other_activations_are_plain_pytorch() -> None:
    x, weight, bias, _ = drawn((2, 3, 9, 8), False)
    y, _, _ = ops.batch_norm_act(x, weight, bias, act="tanh")
    expected = functional.batch_norm(x, None, None, weight, bias, training=True).tanh()
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)


def test_a_scaled_norm_keeps_the_running_statistics_of_torch() -> None:
    ours, theirs = BatchNorm(24, affine=False), torch.nn.BatchNorm2d(24, affine=False)
    for _ in range(3):
        x = torch.randn(4, 24, 9, 8) * 2 + 5
        assert ours.uses_own_statistics
        found = ours.scaled(x, torch.full((4, 24), 2.0), torch.ones(4, 24), "relu")
        torch.testing.assert_close(found, (theirs(x) * 2 + 1).relu(), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_variance, theirs.running_var)
    assert not ours.eval().uses_own_statistics
