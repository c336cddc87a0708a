"""Winograd's strided convolution and its transpose: values, gradients of any order, layouts, levels, threads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from ganart_zoo import native, ops
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.ops.conv4x4 import (
    conv4x4,
    conv4x4_bias_act,
    conv4x4_bias_act_reference,
    conv4x4_pays,
    conv4x4_reference,
    conv4x4_transposed,
    conv4x4_transposed_pays,
    conv4x4_transposed_reference,
    conv4x4_weight_reference,
)

from .layers import FAR, far_apart

NATIVE_OPS = ["ganart::conv4x4", "ganart::conv4x4_bias_act", "ganart::conv4x4_transposed", "ganart::conv4x4_weight"]

needs_kernels = pytest.mark.skipif(native.ops_library() is None, reason=native.why_not_built() or "built")
KERNELS = torch.ops.ganart
Shape = tuple[int, int, int, int]
Convolution = Callable[[Tensor, Tensor], Tensor]


def drawn(shape: Shape, out_channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, a weight, and a gradient of the result."""
    generator = torch.Generator().manual_seed(sum(shape) + out_channels)
    samples, channels, height, width = shape
    weight = torch.randn(out_channels, channels, 4, 4, generator=generator) / (16 * channels) ** 0.5
    grad = torch.randn(samples, out_channels, height // 2, width // 2, generator=generator)
    return torch.randn(shape, generator=generator), weight, grad


def results(convolve: Convolution, *tensors: Tensor) -> list[Tensor]:
    """Return the convolution and its gradients for x and weight."""
    x, weight, grad = tensors
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = convolve(x, weight)
    return [y, *torch.autograd.grad(y, (x, weight), grad)]


def direct(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(x, weight, stride=2, padding=1)


def direct_transposed(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv_transpose2d(x, weight, stride=2, padding=1)


def check(convolve: Convolution, exact: Convolution, *tensors: Tensor) -> None:
    found = results(convolve, *tensors)
    for one, other in zip(found, results(exact, *(tensor.double() for tensor in tensors)), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=3e-5 * max(1.0, other.abs().max().item()))


# Tiles of 4 x 4 results, whole and cut off; odd sides; channels around vectors, their phases around panels; blocks of
# tiles apart and together, and of several samples; panels of a weight at once and in turn.
SHAPES = [
    ((1, 1, 2, 2), 1),
    ((2, 3, 9, 7), 5),
    ((1, 12, 13, 34), 33),
    ((5, 17, 16, 8), 64),
    ((1, 40, 66, 70), 100),
    ((40, 24, 16, 17), 48),
    ((3, 150, 9, 8), 310),
]


@pytest.mark.parametrize(("shape", "out_channels"), SHAPES, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_a_strided_convolution(implementation, shape, out_channels, layout) -> None:
    x, weight, grad = drawn(shape, out_channels)
    x, grad = (each.contiguous(memory_format=layout) for each in (x, grad))
    check(conv4x4, direct, x, weight, grad)
    check(
        conv4x4_transposed, direct_transposed, grad, weight, torch.randn(x.shape)[..., : shape[2] & -2, : shape[3] & -2]
    )


@needs_kernels
@pytest.mark.parametrize(("shape", "out_channels"), SHAPES, ids=str)
def test_each_level_is_a_convolution(level, shape, out_channels) -> None:
    x, weight, grad = drawn(shape, out_channels)
    check(conv4x4, direct, x, weight, grad)
    check(conv4x4, direct, x.contiguous(memory_format=torch.channels_last), weight, grad)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    st.integers(0, 3), st.sampled_from([1, 2, 7, 16, 33]), st.integers(0, 40), st.integers(0, 40), st.integers(1, 40)
)
def test_any_size(samples, channels, height, width, out_channels) -> None:
    x, weight, grad = drawn((samples, channels, height, width), out_channels)
    if grad.numel() == 0:  # torch's convolution refuses some of these
        found = results(conv4x4, x, weight, grad)
        assert [list(one.shape) for one in found] == [list(grad.shape), list(x.shape), list(weight.shape)]
        assert not found[1].any()
        assert not found[2].any()
    else:
        check(conv4x4, direct, x, weight, grad)


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
    x, grad = view(torch.randn(2, 5, 18, 20)), view(torch.randn(2, 5, 9, 10))
    exact = direct(x.double(), weight := torch.randn(5, x.shape[1], 4, 4).mT.double())
    torch.testing.assert_close(conv4x4(x, weight.float()).double(), exact, rtol=0, atol=1e-3)
    turned = torch.randn(grad.shape[1], 7, 4, 4)
    exact = direct_transposed(grad.double(), turned.double())
    torch.testing.assert_close(conv4x4_transposed(grad, turned).double(), exact, rtol=0, atol=1e-3)


@needs_kernels
@pytest.mark.parametrize("far", FAR)
def test_strides_may_exceed_32_bits(far, tmp_path) -> None:
    shape, strides = FAR[far]
    x, weight, grad = drawn(shape, shape[1])
    apart = far_apart(x, strides, tmp_path / "x")
    assert torch.equal(KERNELS.conv4x4(apart, weight), KERNELS.conv4x4(x, weight))
    assert torch.equal(KERNELS.conv4x4_weight(apart, grad), KERNELS.conv4x4_weight(x, grad))
    turned = (weight, False, True)
    assert torch.equal(KERNELS.conv4x4_transposed(apart, *turned), KERNELS.conv4x4_transposed(x, *turned))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_results_and_gradients_keep_the_layout(layout) -> None:
    x, weight, grad = drawn((2, 5, 9, 10), 4)
    found = results(conv4x4, x.contiguous(memory_format=layout), weight, grad.contiguous(memory_format=layout))
    assert all(one.is_contiguous(memory_format=layout) for one in found[:2])
    assert found[2].is_contiguous()


@pytest.mark.parametrize(("ours", "exact"), [(conv4x4, direct), (conv4x4_transposed, direct_transposed)])
def test_gradients_of_gradients(implementation, ours, exact) -> None:
    x, weight, _ = drawn((2, 7, 13, 8), 7)

    def orders(convolve: Convolution, dtype: torch.dtype) -> list[Tensor]:
        leaves = [tensor.to(dtype).requires_grad_() for tensor in (x, weight)]
        y = convolve(*leaves)
        first = torch.autograd.grad((y * y.detach().sin()).square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(one.square().sum() for one in first), leaves, create_graph=True)
        third = torch.autograd.grad(sum(one.square().mean() for one in second), leaves)
        return [*first, *second, *third]

    for one, other in zip(orders(ours, torch.float32), orders(exact, torch.float64), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-3 * other.abs().max().item())


@pytest.mark.parametrize(
    ("act", "clamp", "gain"), [("linear", None, 1.0), ("relu", None, 2**0.5), ("lrelu", 0.9, 1.3)], ids=str
)
@pytest.mark.parametrize("with_bias", [False, True])
def test_what_follows_a_convolution_is_bias_act(implementation, act, clamp, gain, with_bias) -> None:
    x, weight, grad = drawn((2, 9, 13, 8), 7)
    bias = torch.linspace(-1, 1, 7)

    def orders(layer: Callable[..., Tensor], dtype: torch.dtype) -> list[Tensor]:
        leaves = [tensor.to(dtype).requires_grad_() for tensor in (x, weight, bias)]
        wanted = leaves if with_bias else leaves[:2]
        y = layer(*wanted, *([] if with_bias else [None]), act, 0.3, gain, clamp)
        first = torch.autograd.grad(y * y.detach().cos(), wanted, grad.to(dtype), create_graph=True)
        return [y, *first, *torch.autograd.grad(sum(one.square().sum() for one in first), leaves[:2])]

    for one, other in zip(
        orders(conv4x4_bias_act, torch.float32), orders(conv4x4_bias_act_reference, torch.float64), strict=True
    ):
        # A result so near to 0 or the clamp that rounding decides its slope is one in thousands.
        nearly = (one.double() - other).abs() <= 1e-3 * other.abs().max()
        assert nearly.double().mean() > 0.99


def test_the_definitions_are_torchs() -> None:
    for height, width in ((6, 8), (7, 9)):
        x, weight, grad = (tensor.double() for tensor in drawn((2, 3, height, width), 4))
        of_x = torch.nn.grad.conv2d_input(x.shape, weight, grad, stride=2, padding=1)
        of_weight = torch.nn.grad.conv2d_weight(x, weight.shape, grad, stride=2, padding=1)
        torch.testing.assert_close(conv4x4_reference(x, weight), direct(x, weight))
        torch.testing.assert_close(conv4x4_transposed_reference(grad, weight, height == 7, width == 9), of_x)
        torch.testing.assert_close(conv4x4_weight_reference(x, grad), of_weight)


@needs_kernels
def test_opcheck() -> None:
    x, weight, grad = (tensor.requires_grad_() for tensor in drawn((2, 3, 7, 8), 5))
    last = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    torch.library.opcheck(KERNELS.conv4x4.default, (x, weight))
    torch.library.opcheck(KERNELS.conv4x4.default, (last, weight))
    torch.library.opcheck(KERNELS.conv4x4_transposed.default, (grad, weight, True, False))
    bias = torch.zeros(5).requires_grad_()
    torch.library.opcheck(KERNELS.conv4x4_bias_act.default, (x, weight, bias, "lrelu", 0.2, 1.4, 3.0))
    torch.library.opcheck(KERNELS.conv4x4_weight.default, (x, grad))


@needs_kernels
def test_the_number_of_threads_changes_nothing(level) -> None:
    before = torch.get_num_threads()
    for shape, out_channels in [((40, 24, 16, 17), 48), ((1, 40, 66, 70), 100), ((3, 150, 9, 8), 310)]:
        tensors = drawn(shape, out_channels)
        found = []
        for threads in (1, 2, 3, 3):
            torch.set_num_threads(threads)
            found.append(results(conv4x4, *tensors))
        torch.set_num_threads(before)
        assert all(all(map(torch.equal, one, found[0])) for one in found)


@needs_kernels
def test_bad_numbers_stay_in_their_tiles_and_channels() -> None:
    x, weight, grad = drawn((1, 3, 40, 40), 4)
    x[0, 0, 3, 3] = float("nan")
    y, _, of_weight = results(conv4x4, x, weight, grad)
    assert y[..., 1:3, 1:3].isnan().all()
    assert not y[..., 8:, 8:].isnan().any()
    assert of_weight[:, 0, ::2, ::2].isnan().all()
    assert not of_weight[:, 1:].isnan().any()


@needs_kernels
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: KERNELS.conv4x4(torch.zeros(1, 2, 6, 6), torch.zeros(4, 3, 4, 4)), r"weight has shape \[4, 3, 4, 4\]"),
        (lambda: KERNELS.conv4x4(torch.zeros(1, 2, 6, 6), torch.zeros(4, 2, 3, 3)), r"expected \[K, C, 4, 4\]"),
        (lambda: KERNELS.conv4x4(torch.zeros(2, 6, 6), torch.zeros(4, 2, 4, 4)), r"expected \[N, C, H, W\]"),
        (lambda: KERNELS.conv4x4(torch.zeros(1, 2, 6, 6).double(), torch.zeros(4, 2, 4, 4)), "x is Double"),
        (lambda: KERNELS.conv4x4(torch.zeros(1, 2, 6, 6), torch.zeros(4, 2, 4, 4).double()), "weight is Double"),
        (
            lambda: KERNELS.conv4x4_transposed(torch.zeros(1, 2, 3, 3), torch.zeros(4, 2, 4, 4), False, False),
            r"expected \[C, K, 4, 4\]",
        ),
        (
            lambda: KERNELS.conv4x4_weight(torch.zeros(1, 2, 6, 6), torch.zeros(1, 4, 6, 6)),
            r"grad has shape \[1, 4, 6, 6\], expected \[N, K, H / 2, W / 2\]",
        ),
        (
            lambda: KERNELS.conv4x4_bias_act(
                torch.zeros(1, 2, 6, 6), torch.zeros(4, 2, 4, 4), None, "tanh", 0.2, 1.0, None
            ),
            "act is tanh, expected linear, relu or lrelu",
        ),
    ],
)
def test_the_raw_ops_refuse_what_does_not_fit(call, message) -> None:
    with pytest.raises(RuntimeError, match=message):
        call()


# ---- when layers take it ----


class Calls(TorchDispatchMode):
    """Counts the native convolutions that run."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += str(function).startswith("ganart.conv4x4")
        return function(*args, **(kwargs or {}))


@needs_kernels
def test_it_pays_for_several_channels_of_float32() -> None:
    def tensors(samples: int, channels: int, side: int, out: int, **types: torch.dtype) -> tuple[Tensor, Tensor]:
        return torch.empty(samples, channels, side, side, **types), torch.empty(out, channels, 4, 4, **types)

    assert conv4x4_pays(*tensors(64, 48, 16, 96))
    assert conv4x4_pays(*tensors(1, 64, 64, 128))
    assert not conv4x4_pays(*tensors(64, 3, 64, 48))  # transforming tiles costs too much
    assert not conv4x4_pays(*tensors(64, 48, 16, 96, dtype=torch.float64))
    assert not conv4x4_pays(*tensors(64, 48, 16, 96, dtype=torch.bfloat16))
    assert not conv4x4_pays(*tensors(0, 48, 16, 96))
    assert not conv4x4_pays(*tensors(64, 48, 1, 96))
    x, weight = tensors(64, 3, 64, 48)
    assert conv4x4_pays(x.requires_grad_(), weight)  # the vendor library's gradient computes 16 channels in place of 3
    with torch.no_grad():
        assert not conv4x4_pays(x, weight)
    x, weight = tensors(64, 96, 8, 48)
    assert conv4x4_transposed_pays(x, weight.transpose(0, 1))
    assert not conv4x4_transposed_pays(x, weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert not conv4x4_transposed_pays(x, weight.transpose(0, 1))
    with ops.use("reference"):
        assert not conv4x4_transposed_pays(x, weight.transpose(0, 1))


@needs_kernels
def test_exact_float32_can_be_asked_for() -> None:
    x, weight = torch.empty(64, 48, 16, 16), torch.empty(96, 48, 4, 4)
    before = torch.backends.mkldnn.conv.fp32_precision
    torch.backends.mkldnn.conv.fp32_precision = "ieee"
    try:
        assert not conv4x4_pays(x, weight)
    finally:
        torch.backends.mkldnn.conv.fp32_precision = before
    assert conv4x4_pays(x, weight)


@needs_kernels
def test_layers_take_it_and_are_what_they_were() -> None:
    x, weight, _ = drawn((16, 32, 24, 24), 48)
    bias = torch.randn(48)
    turned = torch.randn(32, 16, 4, 4) / 16
    weight.requires_grad_()
    with Calls() as calls:
        found = ops.conv2d_bias_act(x, weight, bias, stride=2, padding=1, act="lrelu", gain=1)
        plain = ops.conv2d_bias_act(x, weight, stride=2, padding=1, act="swish", gain=1)
        enlarged = ops.conv_transpose2d(x, turned, stride=2, padding=1)
        (gradient,) = torch.autograd.grad(found.square().mean(), weight)
    assert calls.count == 4
    z = direct(x.double(), exact := weight.detach().double().requires_grad_())
    expected = functional.leaky_relu(z + bias.double()[:, None, None], 0.2)
    (exact_gradient,) = torch.autograd.grad(expected.square().mean(), exact)
    for one, other in (
        (found, expected),
        (plain, functional.silu(z)),
        (enlarged, direct_transposed(x.double(), turned.double())),
        (gradient / exact_gradient.abs().max(), exact_gradient / exact_gradient.abs().max()),
    ):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-4)


def test_other_transposed_convolutions_are_torchs() -> None:
    x, weight = torch.randn(2, 3, 5, 6).bfloat16(), torch.randn(3, 4, 3, 5).bfloat16()
    expected = functional.conv_transpose2d(x, weight, stride=3, padding=1)
    assert torch.equal(ops.conv_transpose2d(x, weight, stride=3, padding=1), expected)


@pytest.mark.parametrize(
    ("weight", "settings", "message"),
    [
        (torch.zeros(2, 4, 4, 4), {}, r"weight has shape \[2, 4, 4, 4\]; expected \[3, C, KH, KW\]"),
        (torch.zeros(3, 4, 4, 4).double(), {}, r"weight is torch.float64 on cpu and x torch.float32"),
        (torch.zeros(3, 4, 4, 4), {"stride": 0}, "stride is 0"),
        (torch.zeros(3, 4, 4, 4), {"padding": -1}, "padding is -1; expected an int of 0 or more"),
    ],
)
def test_wrong_arguments_are_refused(weight, settings, message) -> None:
    with pytest.raises(SettingsError, match=message):
        ops.conv_transpose2d(torch.zeros(1, 3, 5, 5), weight, **settings)


@needs_kernels
def test_compiled_layers_take_it() -> None:
    x, weight, _ = drawn((16, 32, 24, 24), 48)
    with ops.use("native"):
        for layer in (
            lambda x: ops.conv2d_bias_act(x, weight, stride=2, padding=1, act="relu"),
            lambda x: ops.conv_transpose2d(x, weight[:32], stride=2, padding=1),
        ):
            compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
            torch.testing.assert_close(compiled(x), layer(x), rtol=0, atol=1e-5)
