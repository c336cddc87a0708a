"""Winograd's convolution that trains: values, gradients of any order, layouts, levels, threads, when it is taken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from ganart_zoo import native, ops
from ganart_zoo.ops.conv3x3 import (
    conv3x3,
    conv3x3_bias_act,
    conv3x3_bias_act_reference,
    conv3x3_pays,
    conv3x3_reference,
    conv3x3_weight_reference,
)
from ganart_zoo.ops.modulated_conv2d import modulated_conv2d_reference

from .layers import FAR, far_apart

NATIVE_OPS = ["ganart::conv3x3", "ganart::conv3x3_bias_act", "ganart::conv3x3_weight"]

needs_kernels = pytest.mark.skipif(native.ops_library() is None, reason=native.why_not_built() or "built")
KERNELS = torch.ops.ganart
Shape = tuple[int, int, int, int]


def drawn(shape: Shape, out_channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, a weight, and a gradient of the result."""
    generator = torch.Generator().manual_seed(sum(shape) + out_channels)
    samples, channels, height, width = shape
    weight = torch.randn(out_channels, channels, 3, 3, generator=generator) / (9 * channels) ** 0.5
    grad = torch.randn(samples, out_channels, height, width, generator=generator)
    return torch.randn(shape, generator=generator), weight, grad


def results(convolve: Callable[[Tensor, Tensor], Tensor], *tensors: Tensor) -> list[Tensor]:
    """Return the convolution and its gradients for x and weight."""
    x, weight, grad = tensors
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = convolve(x, weight)
    return [y, *torch.autograd.grad(y, (x, weight), grad)]


def direct(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(x, weight, padding=1)


def check(x: Tensor, weight: Tensor, grad: Tensor) -> None:
    found = results(conv3x3, x, weight, grad)
    for one, other in zip(found, results(direct, x.double(), weight.double(), grad.double()), strict=True):
        share = 8e-3 if x.dtype == torch.bfloat16 else 2e-4
        assert one.dtype == x.dtype
        torch.testing.assert_close(one.double(), other, rtol=0, atol=share * max(1.0, other.abs().max().item()))


# Tiles of 6 x 6, whole and cut off; channels around vectors and panels; blocks of tiles apart and together, panels of a
# weight at once and in turn.
SHAPES = [
    ((1, 1, 1, 1), 1),
    ((2, 3, 6, 7), 5),
    ((1, 17, 13, 5), 33),
    ((2, 32, 12, 12), 64),
    ((1, 130, 20, 9), 31),
    ((1, 32, 150, 149), 32),
    ((3, 16, 40, 100), 16),
    ((2, 150, 50, 49), 160),
    ((2, 256, 7, 17), 270),
]


@pytest.mark.parametrize(("shape", "out_channels"), SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_is_a_convolution(implementation, dtype, shape, out_channels, layout) -> None:
    x, weight, grad = drawn(shape, out_channels)
    check(x.to(dtype).contiguous(memory_format=layout), weight.to(dtype), grad.to(dtype))


@needs_kernels
@pytest.mark.parametrize(("shape", "out_channels"), SHAPES, ids=str)
def test_each_level_is_a_convolution(level, shape, out_channels) -> None:
    x, weight, grad = drawn(shape, out_channels)
    check(x, weight, grad)
    check(x.contiguous(memory_format=torch.channels_last), weight, grad)


@given(
    st.integers(0, 3), st.sampled_from([1, 2, 7, 16, 33]), st.integers(0, 40), st.integers(0, 40), st.integers(1, 40)
)
def test_any_size(samples, channels, height, width, out_channels) -> None:
    x, weight, grad = drawn((samples, channels, height, width), out_channels)
    if x.numel() == 0:  # torch's convolution refuses some of these
        found = results(conv3x3, x, weight, grad)
        assert [list(one.shape) for one in found] == [list(grad.shape), list(x.shape), list(weight.shape)]
        assert not found[2].any()
    else:
        check(x, weight, grad)


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
    x, weight, grad = map(view, drawn((2, 5, 9, 10), 5))
    check(x, torch.randn(grad.shape[1], x.shape[1], 3, 3).mT, grad)
    assert weight.numel()


@needs_kernels
@pytest.mark.parametrize("far", FAR)
def test_strides_may_exceed_32_bits(far, tmp_path) -> None:
    shape, strides = FAR[far]
    x, weight, grad = drawn(shape, shape[1])
    apart = far_apart(x, strides, tmp_path / "x")
    assert torch.equal(KERNELS.conv3x3(apart, weight, False, None), KERNELS.conv3x3(x, weight, False, None))
    assert torch.equal(KERNELS.conv3x3_weight(apart, grad), KERNELS.conv3x3_weight(x, grad))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_results_and_gradients_keep_the_layout(layout) -> None:
    x, weight, grad = drawn((2, 5, 9, 10), 4)
    found = results(conv3x3, x.contiguous(memory_format=layout), weight, grad.contiguous(memory_format=layout))
    assert all(one.is_contiguous(memory_format=layout) for one in found[:2])
    assert found[2].is_contiguous()


def test_gradients_of_gradients(implementation) -> None:
    x, weight, grad = drawn((2, 9, 13, 8), 7)

    def orders(convolve: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> list[Tensor]:
        leaves = [tensor.to(dtype).requires_grad_() for tensor in (x, weight)]
        y = convolve(*leaves)
        first = torch.autograd.grad((y * y.detach().sin()).square(), leaves, grad.to(dtype), create_graph=True)
        second = torch.autograd.grad(sum(one.square().sum() for one in first), leaves, create_graph=True)
        third = torch.autograd.grad(sum(one.square().mean() for one in second), leaves)
        return [*first, *second, *third]

    for one, other in zip(orders(conv3x3, torch.float32), orders(direct, torch.float64), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=2e-3 * other.abs().max().item())


LAYERS = [
    ("linear", None, 1.0),
    ("linear", 0.7, 0.5),
    ("relu", None, 2**0.5),
    ("lrelu", None, 1.3),
    ("lrelu", 0.9, 1.3),
]


@pytest.mark.parametrize(("act", "clamp", "gain"), LAYERS, ids=str)
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
        orders(conv3x3_bias_act, torch.float32), orders(conv3x3_bias_act_reference, torch.float64), strict=True
    ):
        # A result so near to 0 or the clamp that rounding decides its slope is one in thousands.
        nearly = (one.double() - other).abs() <= 1e-3 * other.abs().max()
        assert nearly.double().mean() > 0.99


@needs_kernels
def test_a_layer_gives_bad_numbers_and_zeros_on() -> None:
    x, weight, _ = drawn((1, 3, 12, 12), 4)
    x[0, 0, 3, 3] = float("nan")
    for act in ("linear", "relu", "lrelu"):
        y = conv3x3_bias_act(x, weight, None, act, 0.2, 1.0, 0.5)
        assert y[..., 2:5, 2:5].isnan().all()
        assert y[..., 6:, 6:].abs().max() <= 0.5
    assert not conv3x3_bias_act(torch.zeros(1, 3, 12, 12), weight, None, "relu", 0.2, 1.0, None).any()


def test_the_definitions_are_torchs() -> None:
    x, weight, grad = (tensor.double() for tensor in drawn((2, 3, 5, 6), 4))
    of_x = torch.nn.grad.conv2d_input(x.shape, weight, grad, padding=1)
    of_weight = torch.nn.grad.conv2d_weight(x, weight.shape, grad, padding=1)
    torch.testing.assert_close(conv3x3_reference(x, weight, False, None), direct(x, weight))
    torch.testing.assert_close(conv3x3_reference(grad, weight, True, None), of_x)
    torch.testing.assert_close(conv3x3_weight_reference(x, grad), of_weight)


@needs_kernels
def test_opcheck() -> None:
    x, weight, grad = drawn((2, 3, 7, 8), 5)
    for arguments in (
        (x, weight, False, None),
        (grad, weight, True, torch.randn_like(grad)),
        (x.to(memory_format=torch.channels_last), weight, False, torch.randn_like(x)),
    ):
        first, second, *rest = arguments
        torch.library.opcheck(KERNELS.conv3x3.default, (first.requires_grad_(), second.requires_grad_(), *rest))
    layer = (x.requires_grad_(), weight.requires_grad_(), torch.zeros(5).requires_grad_(), "lrelu", 0.2, 1.4, 3.0)
    torch.library.opcheck(KERNELS.conv3x3_bias_act.default, layer)
    torch.library.opcheck(KERNELS.conv3x3_weight.default, (x.requires_grad_(), grad.requires_grad_()))


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_number_of_threads_changes_nothing(level, dtype) -> None:
    before = torch.get_num_threads()
    for shape, out_channels in [((1, 32, 150, 149), 32), ((1, 130, 20, 9), 31), ((2, 256, 7, 17), 270)]:
        tensors = [tensor.to(dtype) for tensor in drawn(shape, out_channels)]
        found = []
        for threads in (1, 2, 3, 3):
            torch.set_num_threads(threads)
            found.append(results(conv3x3, *tensors))
        torch.set_num_threads(before)
        assert all(all(map(torch.equal, one, found[0])) for one in found)


@needs_kernels
def test_bad_numbers_stay_in_their_tiles_and_channels() -> None:
    x, weight, grad = drawn((1, 3, 20, 20), 4)
    x[0, 0, 3, 3] = float("nan")
    y, _, of_weight = results(conv3x3, x, weight, grad)
    assert y[..., 2:5, 2:5].isnan().all()
    assert not y[..., 12:, 12:].isnan().any()
    assert of_weight[:, 0].isnan().all()
    assert not of_weight[:, 1:].isnan().any()


@needs_kernels
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (torch.zeros(1, 2, 5, 5), torch.zeros(4, 3, 3, 3), False),
            r"weight has shape \[4, 3, 3, 3\], expected \[K, C",
        ),
        ((torch.zeros(1, 2, 5, 5), torch.zeros(4, 2, 3, 3), True), r"expected \[C, K, 3, 3\]"),
        ((torch.zeros(1, 2, 5, 5), torch.zeros(4, 2, 1, 1), False), r"weight has shape \[4, 2, 1, 1\]"),
        ((torch.zeros(2, 5, 5), torch.zeros(4, 2, 3, 3), False), r"x has shape \[2, 5, 5\], expected \[N, C, H, W\]"),
        ((torch.zeros(1, 2, 5, 5).double(), torch.zeros(4, 2, 3, 3), False), "x is Double, expected Float or BFloat16"),
        ((torch.zeros(1, 2, 5, 5), torch.zeros(4, 2, 3, 3).bfloat16(), False), "weight is BFloat16 and x Float"),
    ],
)
def test_the_raw_op_refuses_what_does_not_fit(arguments, message) -> None:
    with pytest.raises(RuntimeError, match=message):
        KERNELS.conv3x3(*arguments, None)


@needs_kernels
def test_the_raw_gradient_refuses_what_does_not_fit() -> None:
    with pytest.raises(RuntimeError, match=r"grad is Float of shape \[1, 4, 5, 6\]"):
        KERNELS.conv3x3_weight(torch.zeros(1, 2, 5, 5), torch.zeros(1, 4, 5, 6))


@needs_kernels
def test_the_raw_layer_refuses_what_does_not_fit() -> None:
    x, weight = torch.zeros(1, 2, 5, 5), torch.zeros(4, 2, 3, 3)
    with pytest.raises(RuntimeError, match="act is tanh, expected linear, relu or lrelu"):
        KERNELS.conv3x3_bias_act(x, weight, None, "tanh", 0.2, 1.0, None)
    with pytest.raises(RuntimeError, match=r"bias must be Float of shape \[4\]"):
        KERNELS.conv3x3_bias_act(x, weight, torch.zeros(3), "relu", 0.2, 1.0, None)


# ---- when layers take it ----


class Calls(TorchDispatchMode):
    """Counts the native convolutions that run."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        ours = (KERNELS.conv3x3, KERNELS.conv3x3_bias_act, KERNELS.conv3x3_weight)
        self.count += function in [packet.default for packet in ours]
        return function(*args, **(kwargs or {}))


@needs_kernels
def test_it_pays_for_many_pixels_and_several_channels_of_float32() -> None:
    def pays(samples: int, channels: int, side: int, out: int = 0, **types: torch.dtype) -> bool:
        weight = torch.empty(out or channels, channels, 3, 3, **types)
        return conv3x3_pays(torch.empty(samples, channels, side, side, **types), weight)

    assert pays(8, 64, 128)
    assert pays(4, 256, 16)
    assert not pays(8, 3, 128, 64)  # transforming tiles costs too much
    assert not pays(1, 256, 8)  # and so do weights
    assert not pays(8, 64, 128, dtype=torch.float64)
    assert not pays(0, 64, 128)
    assert not conv3x3_pays(torch.empty(8, 64, 128, 128), torch.empty(64, 64, 1, 1))
    assert not conv3x3_pays(torch.empty(8, 64, 128, 128), torch.empty(64, 64, 3, 3).bfloat16())
    assert not pays(8, 64, 128, device="meta")
    with torch.autocast("cpu", torch.bfloat16):
        assert not pays(8, 64, 128)
    with ops.use("reference"):
        assert not pays(8, 64, 128)


@needs_kernels
def test_bfloat16_pays_less_beside_dot_products_and_never_beside_a_matrix_unit(level, monkeypatch) -> None:
    def pays(channels: int, side: int) -> bool:
        x, weight = torch.empty(8, channels, side, side), torch.empty(channels, channels, 3, 3)
        return conv3x3_pays(x.bfloat16(), weight.bfloat16())

    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert pays(64, 128)
    assert pays(128, 16) == (level != "avx512bf16")  # where the vendor library is twice as fast as in float32
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert not pays(64, 128)


@needs_kernels
def test_exact_float32_can_be_asked_for() -> None:
    x, weight = torch.empty(8, 64, 128, 128), torch.empty(64, 64, 3, 3)
    before = torch.backends.mkldnn.conv.fp32_precision
    torch.backends.mkldnn.conv.fp32_precision = "ieee"
    try:
        assert not conv3x3_pays(x, weight)
    finally:
        torch.backends.mkldnn.conv.fp32_precision = before
    assert conv3x3_pays(x, weight)


@needs_kernels
def test_layers_take_it_and_are_what_they_were() -> None:
    x, weight, _ = drawn((2, 32, 48, 48), 32)
    styles, bias = torch.rand(2, 32) + 0.5, torch.randn(32)
    weight.requires_grad_()
    settings = {"padding": 1, "bias": bias, "act": "lrelu"}

    def layer() -> Tensor:
        return ops.conv2d_bias_act(x, weight, **settings)

    def modulated() -> Tensor:
        return ops.modulated_conv2d(x, weight, styles, **settings)

    exact = [x.double(), weight.detach().double().requires_grad_()]
    of_layer = functional.leaky_relu(direct(*exact) + bias.double()[:, None, None], 0.2) * 2**0.5
    of_modulated = modulated_conv2d_reference(*exact, styles.double(), **{**settings, "bias": bias.double()})
    for call, expected in ((layer, of_layer), (modulated, of_modulated)):
        with Calls() as calls:
            found = call()
            (gradient,) = torch.autograd.grad(found.square().mean(), weight)
        (exact_gradient,) = torch.autograd.grad(expected.square().mean(), exact[1])
        assert calls.count == 2  # x needs no gradient
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-3)
        torch.testing.assert_close(
            gradient.double(), exact_gradient, rtol=0, atol=1e-4 * exact_gradient.abs().max().item()
        )


@needs_kernels
def test_compiled_layers_take_it() -> None:
    x, weight, _ = drawn((2, 32, 48, 48), 32)
    with ops.use("native"):
        compiled = torch.compile(
            lambda x: ops.conv2d_bias_act(x, weight, padding=1), fullgraph=True, backend="aot_eager"
        )
        assert torch.equal(compiled(x), ops.conv2d_bias_act(x, weight, padding=1))
