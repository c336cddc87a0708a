"""bias_act against its formula in NumPy, in every layout and to the second order of gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ganart_zoo import ops
from ganart_zoo.contract.errors import SettingsError

NATIVE_OPS = ["ganart::bias_act"]

SELU = (1.0507009873554805, 1.6732632423543772)  # scale and alpha of Klambauer et al. 2017
ROOT2 = math.sqrt(2)
FORMULAS = {
    "linear": (lambda z: z, 1.0),
    "relu": (lambda z: np.maximum(z, 0), ROOT2),
    "lrelu": (lambda z: np.where(z > 0, z, 0.2 * z), ROOT2),
    "tanh": (np.tanh, 1.0),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), 1.0),
    "elu": (lambda z: np.where(z > 0, z, np.expm1(z)), 1.0),
    "selu": (lambda z: SELU[0] * np.where(z > 0, z, SELU[1] * np.expm1(z)), 1.0),
    "softplus": (lambda z: np.logaddexp(z, 0), 1.0),
    "swish": (lambda z: z / (1 + np.exp(-z)), ROOT2),
}
ACTIVATIONS = list(FORMULAS)
pytestmark = pytest.mark.usefixtures("implementation")


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_its_formula(act, layout, implementation, generator):
    x = torch.randn(2, 5, 7, 9, generator=generator, dtype=torch.float64).mul(3).to(memory_format=layout)
    bias = torch.randn(5, generator=generator, dtype=torch.float64)
    formula, gain = FORMULAS[act]
    expected = formula(x.numpy() + bias.numpy()[:, None, None]) * gain
    y = ops.bias_act(x, bias, act=act)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-14)
    assert implementation == "reference" or y.is_contiguous(memory_format=layout)
    clamped = ops.bias_act(x, bias, act=act, gain=2.0, clamp=0.7)
    np.testing.assert_allclose(clamped.numpy(), np.clip(expected / gain * 2, -0.7, 0.7), rtol=1e-12, atol=1e-14)


def test_slope_is_lrelus_own(generator):
    x = torch.randn(3, 4, generator=generator)
    expected = torch.where(x > 0, x, 0.01 * x)
    torch.testing.assert_close(ops.bias_act(x, act="lrelu", negative_slope=0.01, gain=1.0), expected)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("clamp", [None, 0.8])
def test_gradients_of_first_and_second_order(act, clamp, generator):
    x = torch.randn(2, 3, 2, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, generator=generator, dtype=torch.float64, requires_grad=True)

    def function(x, bias):
        return ops.bias_act(x, bias, act=act, gain=1.5, clamp=clamp)

    assert torch.autograd.gradcheck(function, (x, bias))
    assert torch.autograd.gradgradcheck(function, (x, bias))
    assert torch.autograd.gradgradcheck(lambda x: function(x, None), (x,))


def test_gradient_is_zero_where_the_clamp_holds():
    x = torch.tensor([[-9.0, -0.5, 0.5, 9.0]], requires_grad=True)
    ops.bias_act(x, gain=1.0, clamp=1.0).sum().backward()
    assert x.grad.tolist() == [[0, 1, 1, 0]]


@pytest.mark.parametrize(
    "shape", [(0, 3, 4, 4), (2, 1, 1, 1), (3, 512), (2, 3, 17), (1, 7, 3, 5), (2, 3, 0, 4), (2, 2, 2, 3, 3)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_odd_shapes_and_types(shape, dtype, generator):
    x = torch.randn(shape, generator=generator).to(dtype).requires_grad_()
    bias = torch.randn(shape[1], generator=generator).to(dtype).requires_grad_()
    y = ops.bias_act(x, bias, act="lrelu")
    y.sum().backward()
    z = (x.detach().double() + bias.detach().double().reshape(-1, *[1] * (len(shape) - 2))).numpy()
    expected = np.where(z > 0, z, 0.2 * z) * ROOT2
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 2e-2, torch.float64: 1e-13}[dtype]
    np.testing.assert_allclose(y.detach().double().numpy(), expected, rtol=tolerance, atol=tolerance)
    assert (y.dtype, x.grad.dtype, bias.grad.dtype) == (dtype, dtype, dtype)
    summed = np.where(z > 0, 1, 0.2).sum(tuple(axis for axis in range(z.ndim) if axis != 1)) * ROOT2
    np.testing.assert_allclose(bias.grad.double().numpy(), summed, rtol=4 * tolerance, atol=tolerance)


def test_no_gradient_where_a_clamp_that_bfloat16_rounds_down_holds():
    x = torch.tensor([[0.5], [3.0], [-3.0]], dtype=torch.bfloat16).repeat(40, 3).requires_grad_()
    y = ops.bias_act(x, act="linear", clamp=1.003)  # 1 as a bfloat16
    (grad,) = torch.autograd.grad(y.float().sum(), x)
    expected = torch.tensor([[1.0], [0.0], [0.0]], dtype=torch.bfloat16).repeat(40, 3)
    torch.testing.assert_close(grad, expected, rtol=0, atol=0)


def test_nan_stays_and_nothing_else_becomes_it():
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        x = torch.arange(-40.0, 41).to(dtype).reshape(1, 3, 27)
        x[0, 1, 5] = torch.nan
        x[0, 2, 26] = torch.inf
        for act in ACTIVATIONS:
            assert torch.equal(ops.bias_act(x, act=act, clamp=2.0).isnan(), x.isnan()), (dtype, act)


@pytest.mark.parametrize("view", ["expanded", "flipped", "transposed", "sliced", "misaligned"])
def test_views_are_read_right(view, generator):
    base = torch.randn(4, 6, 8, 8, generator=generator)
    x = {
        "expanded": base[:1].expand(4, -1, -1, -1),
        "flipped": base[:, :, :, ::2],
        "transposed": base.transpose(2, 3),
        "sliced": base[1:, 1:5, 2:, 3:],
        "misaligned": base.flatten()[1 : 1 + 2 * 3 * 8 * 8].reshape(2, 3, 8, 8),
    }[view]
    bias = torch.randn(x.shape[1], generator=generator)
    torch.testing.assert_close(ops.bias_act(x, bias, act="relu", gain=1.0), (x + bias[:, None, None]).relu())


@pytest.mark.parametrize(
    "view",
    [
        lambda make: make(7, 33).t(),
        lambda make: make(33, 1).expand(33, 7),
        lambda make: make(1, 7).expand(33, 7),
        lambda make: make(33, 14)[:, ::2],
        lambda make: make(39).unfold(0, 7, 1),
        lambda make: make(1, 39).unfold(1, 7, 1),
        lambda make: make(5, 9, 7).permute(0, 2, 1),
        lambda make: make(9, 5, 7).permute(1, 2, 0),
        lambda make: make(2, 3, 4, 5, 7).permute(0, 4, 1, 2, 3),
        lambda make: make(3, 2, 7, 3, 4).permute(1, 2, 0, 3, 4),
        lambda make: make(4, 0),
    ],
)
def test_views_of_latents_lines_and_volumes(view, generator):
    x = view(lambda *shape: torch.randn(shape, generator=generator)).requires_grad_()
    bias = torch.randn(x.shape[1], generator=generator, requires_grad=True)
    weights = torch.randn(x.shape[::-1], generator=generator).permute(*reversed(range(x.dim())))
    y = ops.bias_act(x, bias, act="swish", gain=1.0)
    expected = torch.nn.functional.silu(x + bias.reshape(-1, *[1] * (x.dim() - 2)))
    torch.testing.assert_close(y, expected)
    for found, true in zip(
        torch.autograd.grad(y, (x, bias), weights), torch.autograd.grad(expected, (x, bias), weights), strict=True
    ):
        torch.testing.assert_close(found, true, rtol=1e-5, atol=1e-5)


def test_errors_name_the_argument():
    x = torch.zeros(2, 3, 4, 4)
    for arguments, message in [
        ({"act": "leaky_relu"}, r"act is 'leaky_relu'.*did you mean"),
        ({"gain": 0.0}, "gain is 0.0"),
        ({"clamp": -1.0}, "clamp is -1.0"),
        ({"act": "lrelu", "negative_slope": -0.1}, "negative_slope is -0.1"),
        ({"bias": torch.zeros(4)}, r"bias has shape \[4\]; expected \[3\]"),
    ]:
        with pytest.raises(SettingsError, match=message):
            ops.bias_act(x, **arguments)
    with pytest.raises(SettingsError, match=r"x is torch\.int64"):
        ops.bias_act(torch.zeros(2, 3, dtype=torch.int64))
