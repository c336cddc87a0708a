"""instance_norm_act and adain against torch's instance norm and their formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from ganart_zoo import ops
from ganart_zoo.contract.errors import SettingsError

NATIVE_OPS = ["ganart::instance_norm_act"]
LAYOUTS = [torch.contiguous_format, torch.channels_last]
pytestmark = pytest.mark.usefixtures("implementation")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "shape",
    [(2, 3, 5, 7), (1, 1, 1, 2), (3, 17, 16, 16), (2, 64, 33, 31), (1, 16, 90, 91), (1, 2, 133, 131), (9, 40, 9, 8)],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_equals_torchs_instance_norm(shape, layout, dtype, implementation, generator):
    x = torch.randn(shape, generator=generator).mul(2).add(3).to(dtype).to(memory_format=layout)
    weight, bias = torch.randn(2, shape[1], generator=generator).double()
    y = ops.instance_norm_act(x, weight, bias)
    expected = F.instance_norm(x.double(), weight=weight, bias=bias)
    tolerance = {torch.float64: 1e-11, torch.float32: 1e-5, torch.bfloat16: 3e-2}[dtype]
    torch.testing.assert_close(y.double(), expected, rtol=tolerance, atol=tolerance)
    assert y.dtype == dtype
    assert implementation == "reference" or y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_samples_are_as_on_their_own(layout, implementation, generator):
    """Bit for bit, though the pixels of few samples are divided among threads."""
    x = torch.randn(17, 3, 81, 80, generator=generator).to(memory_format=layout)
    weight, bias = torch.randn(2, 3, generator=generator)
    y = ops.instance_norm_act(x, weight, bias, act="relu")
    alone = torch.cat([ops.instance_norm_act(one, weight, bias, act="relu") for one in x.split(1)])
    torch.testing.assert_close(y, alone, **({} if implementation == "reference" else {"rtol": 0, "atol": 0}))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 40, 71, 70), (9, 3, 32, 32), (3, 72, 1, 300)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 2**-7)])
def test_every_level_equals_torch_with_its_gradients(level, dtype, tolerance, shape, layout, implementation, generator):
    """Short rows, several pieces of the pixels, and channels that fill no vector, with a mean of many deviations."""
    if implementation == "reference":
        pytest.skip("has no levels")
    x, grad = torch.randn(2, *shape, generator=generator).to(dtype).unbind()
    x = (x + 20).to(dtype).to(memory_format=layout).requires_grad_()
    weight, bias = (values.requires_grad_() for values in torch.randn(2, shape[1], generator=generator))
    exact = [tensor.detach().double().requires_grad_() for tensor in (x, weight, bias)]
    normal = F.instance_norm(exact[0], weight=exact[1], bias=exact[2])
    y = ops.instance_norm_act(x, weight, bias, act="relu")
    torch.testing.assert_close(y.double(), normal.relu(), rtol=tolerance, atol=tolerance)
    grad = torch.where(normal.abs() > 0.01, grad, 0).to(dtype)  # what is that near to zero may be on either side of it
    gradients = torch.autograd.grad(y, (x, weight, bias), grad.to(memory_format=layout))
    expected = torch.autograd.grad(normal.relu(), exact, grad.double())
    for gradient, one in zip(gradients, expected, strict=True):
        close = {"rtol": tolerance, "atol": tolerance * float(one.abs().max())}
        torch.testing.assert_close(gradient.double(), one, **close)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_scale_and_shift_for_each_sample(layout, generator):
    x = torch.randn(3, 4, 6, 5, generator=generator).to(memory_format=layout)
    mean, std = torch.randn(2, 3, 4, generator=generator)
    y = ops.adain(x, mean, std)
    for sample in range(3):
        one = F.instance_norm(x[sample : sample + 1], weight=std[sample], bias=mean[sample])
        torch.testing.assert_close(y[sample : sample + 1], one, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(y.mean([2, 3]), mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(y.std([2, 3], correction=0), std.abs(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("act", ["linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"])
@pytest.mark.parametrize("per_sample", [False, True])
def test_gradients_of_first_and_second_order(act, per_sample, layout, generator):
    x = torch.randn(2, 3, 2, 3, generator=generator, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    shape = (2, 3) if per_sample else (3,)
    weight, bias = (torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def function(x, weight, bias):
        return ops.instance_norm_act(x, weight, bias, act=act, eps=0.1)

    assert torch.autograd.gradcheck(function, (x, weight, bias))
    assert torch.autograd.gradgradcheck(function, (x, weight, bias))
    assert torch.autograd.gradcheck(lambda x: ops.instance_norm_act(x, act=act, eps=0.1), (x,))


def test_a_large_mean_costs_no_digits(generator):
    x = torch.randn(1, 2, 64, 64, generator=generator).add(1e3)
    expected = F.instance_norm(x.double()).float()
    torch.testing.assert_close(ops.instance_norm_act(x), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 3, 1, 1)])
def test_nothing_to_normalise(shape):
    x = torch.ones(shape, requires_grad=True)
    y = ops.instance_norm_act(x, torch.full((3,), 2.0), torch.full((3,), 5.0))
    y.sum().backward()
    assert (y == 5).all()
    assert (x.grad == 0).all()


def test_errors_name_the_argument():
    x = torch.zeros(2, 3, 4, 4)
    with pytest.raises(SettingsError, match=r"instance_norm_act: weight has shape \[4\]; expected \[3\] or \[2, 3\]"):
        ops.instance_norm_act(x, torch.zeros(4))
    with pytest.raises(SettingsError, match="instance_norm_act: eps is 0"):
        ops.instance_norm_act(x, eps=0)
    with pytest.raises(SettingsError, match=r"adain: std has shape \[5\]"):
        ops.adain(x, torch.zeros(3), torch.zeros(5))
    with pytest.raises(SettingsError, match="act is 'gelu'"):
        ops.instance_norm_act(x, act="gelu")
