"""minibatch_stddev and pixel_norm against loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganart_zoo import ops
from ganart_zoo.contract.errors import SettingsError

NATIVE_OPS = ["ganart::minibatch_stddev", "ganart::pixel_norm"]
LAYOUTS = [torch.contiguous_format, torch.channels_last]
pytestmark = pytest.mark.usefixtures("implementation")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sizes", [(8, 4, 1), (6, 3, 2), (4, 8, 6), (3, 1, 1), (2, 2, 3), (128, 64, 2)])
@pytest.mark.parametrize("neighbours", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_stddev_equals_its_definition(sizes, neighbours, layout, dtype, generator):
    samples, group_size, num_channels = sizes
    x = torch.randn(samples, 6, 3, 5, generator=generator).to(dtype).to(memory_format=layout)
    y = ops.minibatch_stddev(x, group_size, num_channels, neighbours=neighbours)
    group = min(group_size, samples)
    groups = samples // group
    expected = np.empty((samples, num_channels))
    for n in range(samples):
        first = n // group * group
        members = (x[first : first + group] if neighbours else x[n % groups :: groups]).double().numpy()
        deviation = np.sqrt(members.var(axis=0) + 1e-8)
        expected[n] = deviation.reshape(num_channels, -1).mean(axis=1)
    assert torch.equal(y[:, :6], x)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-2}[dtype]
    np.testing.assert_allclose(
        y[:, 6:].double().numpy(), np.broadcast_to(expected[:, :, None, None], y[:, 6:].shape), rtol=tolerance
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_stddev_gradients_of_first_and_second_order(layout, generator):
    x = torch.randn(4, 4, 2, 1, generator=generator, dtype=torch.float64).to(memory_format=layout).requires_grad_()

    def function(x):
        return ops.minibatch_stddev(x, 2, 2)

    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (3, 512, 1, 1), (2, 1, 4, 4), (1, 37, 19, 23)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_pixel_norm_equals_its_formula(shape, layout, dtype, generator):
    x = torch.randn(shape, generator=generator).to(dtype).to(memory_format=layout)
    y = ops.pixel_norm(x)
    wide = x.double().numpy()
    expected = wide / np.sqrt((wide**2).mean(axis=1, keepdims=True) + 1e-8)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-2}[dtype]
    np.testing.assert_allclose(y.double().numpy(), expected, rtol=tolerance, atol=tolerance)


def test_pixel_norm_of_latents(generator):
    z = torch.randn(6, 64, generator=generator)
    torch.testing.assert_close(ops.pixel_norm(z).square().mean(1), torch.ones(6))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pixel_norm_gradients_of_first_and_second_order(layout, generator):
    x = torch.randn(2, 3, 2, 2, generator=generator, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    assert torch.autograd.gradcheck(ops.pixel_norm, (x,))
    assert torch.autograd.gradgradcheck(ops.pixel_norm, (x,))


def test_autocast_changes_nothing(implementation, generator):
    x = torch.randn(4, 6, 3, 5, generator=generator).requires_grad_()
    for norm in (ops.pixel_norm, ops.minibatch_stddev):
        plain = norm(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(norm(x), plain)


def test_nothing_to_do():
    x = torch.zeros(0, 4, 2, 2, requires_grad=True)
    y = ops.minibatch_stddev(x, 4, 2)
    assert y.shape == (0, 6, 2, 2)
    y.sum().backward()
    ops.pixel_norm(x).sum().backward()
    assert x.grad.shape == x.shape


def test_errors_name_the_argument():
    x = torch.zeros(6, 4, 2, 2)
    with pytest.raises(SettingsError, match="group_size is 4; expected a divisor of the batch 6"):
        ops.minibatch_stddev(x)
    with pytest.raises(SettingsError, match="num_channels is 3; expected a divisor of 4"):
        ops.minibatch_stddev(x, 3, 3)
    with pytest.raises(SettingsError, match="pixel_norm: eps is 0"):
        ops.pixel_norm(x, 0)
    with pytest.raises(SettingsError, match=r"pixel_norm: x is .*\[6\]"):
        ops.pixel_norm(torch.zeros(6))
