"""Winograd's convolution is a convolution: values, gradients, layouts, levels, threads, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from ganart_zoo import native, ops
from ganart_zoo.contract import SettingsError

from .layers import FAR, far_apart

NATIVE_OPS = ["ganart::winograd_conv2d"]

needs_kernels = pytest.mark.skipif(native.ops_library() is None, reason=native.why_not_built() or "built")
KERNELS = torch.ops.ganart


def drawn(shape: tuple[int, ...], out_channels: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(sum(shape) + out_channels)
    channels = shape[1]
    weight = torch.randn(out_channels, channels, 3, 3, generator=generator) / (9 * channels) ** 0.5
    return torch.randn(shape, generator=generator), weight, torch.randn(out_channels, generator=generator)


def direct(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return functional.conv2d(x.double(), weight.double(), None if bias is None else bias.double(), padding=1)


KINDS = [
    (torch.float32, torch.float32),
    (torch.bfloat16, torch.float32),
    (torch.bfloat16, torch.bfloat16),
]
"""Of features and of kernels."""


def check(x: Tensor, weight: Tensor, bias: Tensor | None, kernel: torch.dtype = torch.float32) -> None:
    result = ops.winograd_conv2d(x, ops.winograd_kernel(weight, kernel), bias)
    expected = direct(x, weight, bias)
    assert result.dtype == x.dtype
    if kernel == torch.bfloat16:
        assert (result.double() - expected).square().mean() <= 0.02**2 * expected.square().mean()
    share = 0.1 if kernel == torch.bfloat16 else 8e-3
    tolerance = share * expected.abs().max().item() if x.dtype == torch.bfloat16 else 3e-4
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=tolerance)


# Tiles of 6 x 6, whole and cut off; channels around vectors and panels; blocks of tiles apart and together.
SHAPES = [
    ((1, 1, 1, 1), 1),
    ((2, 3, 6, 7), 5),
    ((1, 17, 13, 5), 33),
    ((2, 32, 12, 12), 64),
    ((1, 130, 20, 9), 31),
    ((1, 32, 150, 149), 32),
]


@pytest.mark.parametrize(("shape", "out_channels"), SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "kernel"), KINDS)
def test_it_is_a_convolution(implementation, dtype, kernel, shape, out_channels) -> None:
    x, weight, bias = drawn(shape, out_channels)
    check(x.to(dtype), weight, bias, kernel)
    check(x.to(dtype).contiguous(memory_format=torch.channels_last), weight, None, kernel)


@needs_kernels
@pytest.mark.parametrize(("shape", "out_channels"), SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "kernel"), KINDS)
def test_each_level_is_a_convolution_and_its_gradient(level, dtype, kernel, shape, out_channels) -> None:
    x, weight, bias = drawn(shape, out_channels)
    x = x.to(dtype, memory_format=torch.channels_last)
    check(x, weight, bias, kernel)
    grad = torch.randn(shape[0], out_channels, *shape[2:], generator=torch.Generator().manual_seed(0)).to(dtype)
    points = ops.winograd_kernel(weight, kernel).points
    mask = torch.randn(grad.shape, generator=torch.Generator().manual_seed(1)).relu().to(dtype)
    found = KERNELS.winograd_conv2d(grad, points, None, shape[1], True, False, mask)
    right = functional.conv_transpose2d(grad.double() * (mask > 0), weight.double(), padding=1)
    far = 3e-3 if kernel == torch.float32 else 0.02 if x.numel() > 1 else 0.1  # a single product errs by more
    assert (found.double() - right).square().mean() <= far**2 * right.square().mean()


@given(
    st.integers(0, 3), st.sampled_from([1, 2, 7, 16, 33]), st.integers(0, 14), st.integers(0, 14), st.integers(1, 40)
)
def test_any_size(samples, channels, height, width, out_channels) -> None:
    x, weight, bias = drawn((samples, channels, height, width), out_channels)
    if x.numel() == 0:  # torch's convolution refuses some of these
        result = ops.winograd_conv2d(x, ops.winograd_kernel(weight), bias)
        assert result.shape == (samples, out_channels, height, width)
    else:
        check(x, weight, bias)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.mT,
        lambda x: x[:, :, 1:, ::2],
        lambda x: x[:1].expand(3, -1, -1, -1),
        lambda x: x.contiguous(memory_format=torch.channels_last)[:, 1:],
    ],
)
def test_views_are_read_as_they_are(implementation, view) -> None:
    x, weight, bias = drawn((2, 5, 9, 10), 4)
    x = view(x)
    check(x, weight[:, : x.shape[1]], bias)


@pytest.mark.parametrize("far", FAR)
def test_strides_may_exceed_32_bits(implementation, far, tmp_path) -> None:
    shape, strides = FAR[far]
    x, weight, bias = drawn(shape, 4)
    kernel = ops.winograd_kernel(weight)
    found = ops.winograd_conv2d(far_apart(x, strides, tmp_path / "sparse"), kernel, bias)
    assert torch.equal(found, ops.winograd_conv2d(x, kernel, bias))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_results_and_gradients_keep_the_layout(layout) -> None:
    x, weight, bias = drawn((2, 5, 9, 10), 4)
    x = x.contiguous(memory_format=layout).requires_grad_()
    result = ops.winograd_conv2d(x, ops.winograd_kernel(weight), bias)
    (gradient,) = torch.autograd.grad(result, x, torch.randn_like(result))
    assert result.is_contiguous(memory_format=layout)
    assert gradient.is_contiguous(memory_format=layout)


@pytest.mark.parametrize(
    ("shape", "out_channels", "relu"),
    [((2, 9, 13, 8), 7, False), ((2, 9, 13, 8), 7, True), ((1, 300, 7, 8), 310, False)],  # the last turned by panels
)
def test_gradients(implementation, shape, out_channels, relu) -> None:
    x, weight, bias = drawn(shape, out_channels)
    kernel = ops.winograd_kernel(weight)
    x, bias = x.requires_grad_(), bias.requires_grad_()
    exact, exact_bias = x.detach().double().requires_grad_(), bias.detach().double().requires_grad_()
    found = ops.winograd_conv2d(x, kernel, bias, relu=relu)
    expected = functional.conv2d(exact, weight.double(), exact_bias, padding=1)
    expected = expected.relu() if relu else expected
    outer = torch.randn(found.shape)
    first = torch.autograd.grad(found.square(), (x, bias), outer, create_graph=True)
    right = torch.autograd.grad(expected.square(), (exact, exact_bias), outer.double(), create_graph=True)
    second = torch.autograd.grad(first[0].square().sum(), (x, bias))
    right_second = torch.autograd.grad(right[0].square().sum(), (exact, exact_bias))
    for one, other in zip([*first, *second], [*right, *right_second], strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=5e-4 * other.abs().max().item())


@needs_kernels
def test_opcheck_and_compile() -> None:
    x, weight, bias = drawn((2, 3, 7, 8), 5)
    kernel = ops.winograd_kernel(weight)
    ends = (x.requires_grad_(), kernel.points, bias.requires_grad_(), 5, False)
    for relu in (False, True):
        torch.library.opcheck(KERNELS.winograd_conv2d.default, (*ends, relu, None))
    grad = torch.randn(2, 5, 7, 8, requires_grad=True)
    for mask in (None, torch.randn(2, 5, 7, 8).to(memory_format=torch.channels_last)):
        ends = (grad, kernel.points, None, 3, True, False)
        torch.library.opcheck(KERNELS.winograd_conv2d.default, (*ends, mask))
    with ops.use("native"):
        compiled = torch.compile(lambda x: ops.winograd_conv2d(x, kernel, bias), fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(x), ops.winograd_conv2d(x, kernel, bias))


@needs_kernels
@pytest.mark.parametrize(("dtype", "of_kernel"), KINDS)
def test_the_number_of_threads_changes_nothing(level, dtype, of_kernel) -> None:
    before = torch.get_num_threads()
    for shape, out_channels in [((1, 32, 150, 149), 32), ((1, 300, 20, 9), 310), ((1, 3, 200, 201), 1)]:
        x, weight, bias = drawn(shape, out_channels)
        kernel = ops.winograd_kernel(weight, of_kernel)
        leaves = [x.to(dtype).requires_grad_(), bias.requires_grad_()]
        results = []
        for threads in (1, 2, 3, 3):
            torch.set_num_threads(threads)
            result = ops.winograd_conv2d(leaves[0], kernel, bias)
            results.append([result, *torch.autograd.grad(result, leaves, result.detach())])
        torch.set_num_threads(before)
        assert all(all(map(torch.equal, result, results[0])) for result in results)


def test_bad_numbers_stay_in_their_tiles(implementation) -> None:
    x, weight, bias = drawn((1, 3, 20, 20), 4)
    x[0, 0, 3, 3] = float("nan")
    result = ops.winograd_conv2d(x, ops.winograd_kernel(weight), bias)
    assert result[..., 2:5, 2:5].isnan().all()
    assert not result[..., 12:, 12:].isnan().any()


@pytest.mark.parametrize(
    ("shape", "message"),
    [((4, 4, 1, 1), "expected floating point"), ((4, 4, 3), "expected floating"), ((0, 4, 3, 3), "K and C 1 or more")],
)
def test_weights_of_other_shapes_are_refused(shape, message) -> None:
    with pytest.raises(SettingsError, match=f"^winograd_kernel: .*{message}"):
        ops.winograd_kernel(torch.zeros(shape))


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"^winograd_kernel: dtype is torch.float16"):
        ops.winograd_kernel(torch.zeros(4, 3, 3, 3), torch.float16)
    with pytest.raises(SettingsError, match=r"^winograd_conv2d: kernel is torch.bfloat16"):
        ops.winograd_conv2d(torch.zeros(1, 3, 5, 5), ops.winograd_kernel(torch.zeros(4, 3, 3, 3), torch.bfloat16))
    kernel = ops.winograd_kernel(torch.zeros(4, 3, 3, 3))
    with pytest.raises(SettingsError, match=r"^winograd_conv2d: x has shape \[1, 2, 5, 5\]; expected \[1, 3, 5, 5\]"):
        ops.winograd_conv2d(torch.zeros(1, 2, 5, 5), kernel)
    with pytest.raises(SettingsError, match=r"^winograd_conv2d: x is torch.float64"):
        ops.winograd_conv2d(torch.zeros(1, 3, 5, 5, dtype=torch.float64), kernel)
    with pytest.raises(SettingsError, match=r"^winograd_conv2d: bias has shape \[3\]; expected \[4\]"):
        ops.winograd_conv2d(torch.zeros(1, 3, 5, 5), kernel, torch.zeros(3))
    with pytest.raises(SettingsError, match=r"^winograd_conv2d: kernel is on cpu and x on meta"):
        ops.winograd_conv2d(torch.zeros(1, 3, 5, 5, device="meta"), kernel)
