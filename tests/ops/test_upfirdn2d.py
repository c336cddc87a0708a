"""upfirdn2d against scipy.signal.upfirdn along each axis."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ganart_zoo import native, ops
from ganart_zoo.contract.errors import SettingsError

from .layers import poisoned_memory

NATIVE_OPS = ["ganart::upfirdn2d"]
pytestmark = pytest.mark.usefixtures("implementation")


def along_axis(x, taps, up, down, before, after, axis):
    """The definition by SciPy: its full convolution, cut where padding and whole overlaps say."""
    full = np.moveaxis(scipy.signal.upfirdn(taps, x, up=up, axis=axis), axis, 0)
    length = x.shape[axis] * up + before + after - len(taps) + 1
    at = np.arange(0, length, down) + len(taps) - 1 - before
    inside = (at >= 0) & (at < len(full))
    out = np.where(inside.reshape(-1, *[1] * (full.ndim - 1)), full[np.clip(at, 0, len(full) - 1)], 0)
    return np.moveaxis(out, 0, axis)


def by_scipy(x, taps, up, down, padding):
    x0, x1, y0, y1 = padding
    return along_axis(along_axis(x, taps, up[1], down[1], y0, y1, 2), taps, up[0], down[0], x0, x1, 3)


CASES = [  # up, down, padding
    ((1, 1), (1, 1), (0, 0, 0, 0)),
    ((1, 1), (1, 1), (2, 1, 2, 1)),
    ((2, 2), (1, 1), (2, 1, 2, 1)),
    ((1, 1), (2, 2), (1, 1, 1, 1)),
    ((2, 1), (1, 2), (3, 0, -1, 4)),
    ((3, 2), (2, 3), (5, 4, 3, 6)),
    ((2, 2), (2, 2), (7, -2, -3, 6)),
    ((1, 1), (1, 1), (-2, -1, -1, -3)),
    ((4, 4), (1, 1), (9, 9, 0, 11)),
]


@pytest.mark.parametrize(("up", "down", "padding"), CASES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 12])
@pytest.mark.parametrize(
    ("channels", "layout"), [(3, torch.contiguous_format), (1, torch.channels_last), (5, torch.channels_last)]
)
def test_equals_scipy(up, down, padding, count, channels, layout, implementation, generator):
    x = torch.randn(2, channels, 17, 37, generator=generator, dtype=torch.float64).to(memory_format=layout)
    taps = torch.randn(count, generator=generator, dtype=torch.float64)
    expected = by_scipy(x.numpy(), taps.numpy(), up, down, padding)
    arguments = {"up": up, "down": down, "padding": padding}
    y = ops.upfirdn2d(x, taps, **arguments)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-12)
    assert implementation == "reference" or y.is_contiguous(memory_format=layout)
    outer = torch.outer(taps, taps)
    np.testing.assert_allclose(ops.upfirdn2d(x, outer, gain=3.0, **arguments).numpy(), 3 * expected, atol=1e-11)
    flipped = ops.upfirdn2d(x, taps.flip(0), flip=True, **arguments)
    torch.testing.assert_close(flipped, y)


@settings(
    deadline=None, max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([1, 2, 3, 5, 8]),
    channels_last=st.booleans(),
    count=st.integers(1, 9),
    up=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    down=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    padding=st.tuples(*[st.integers(-12, 12)] * 4),
    seed=st.integers(0, 2**16),
)
def test_any_geometry_equals_scipy(implementation, size, channels, channels_last, count, up, down, padding, seed):
    x0, x1, y0, y1 = padding
    assume(size[0] * up[1] + y0 + y1 >= count and size[1] * up[0] + x0 + x1 >= count)
    generator = torch.Generator().manual_seed(seed)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(2, channels, *size, generator=generator, dtype=torch.float64).to(memory_format=layout)
    taps = torch.randn(count, generator=generator, dtype=torch.float64)
    with poisoned_memory():
        y = ops.upfirdn2d(x, taps, up=up, down=down, padding=padding)
        matrix = ops.upfirdn2d(x, torch.outer(taps, taps), up=up, down=down, padding=padding)
    expected = by_scipy(x.numpy(), taps.numpy(), up, down, padding)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-11)
    np.testing.assert_allclose(matrix.numpy(), expected, atol=1e-11)


def test_rectangular_taps_are_rows_by_columns(generator):
    x = torch.randn(1, 2, 9, 11, generator=generator, dtype=torch.float64)
    taps = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    expected = np.stack([scipy.signal.convolve2d(plane, taps.numpy(), "valid") for plane in x[0].numpy()])[None]
    np.testing.assert_allclose(ops.upfirdn2d(x, taps).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("up", "down", "padding"), CASES[:7])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(4,), (3, 5)])
def test_gradients_of_first_and_second_order(up, down, padding, layout, shape, generator):
    x = torch.randn(1, 2, 5, 6, generator=generator, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    taps = torch.randn(shape, generator=generator, dtype=torch.float64)

    def function(x):
        return ops.upfirdn2d(x, taps, up=up, down=down, padding=padding, gain=1.5)

    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_helpers_keep_the_picture_in_place(count):
    taps = torch.from_numpy(scipy.special.binom(count - 1, np.arange(count))).float()
    taps /= taps.sum()
    x = torch.ones(1, 3, 12, 14)
    inner = (..., slice(4, -4), slice(4, -4))
    assert ops.blur(x, taps).shape == x.shape
    assert ops.upsample2d(x, taps).shape == (1, 3, 24, 28)
    assert ops.downsample2d(x, taps).shape == (1, 3, 6, 7)
    torch.testing.assert_close(ops.blur(x, taps)[inner], x[inner])
    if count > 1:  # with one tap, upsampling leaves its zeros
        up = ops.upsample2d(x, taps)[inner]
        torch.testing.assert_close(up.mean(), torch.tensor(1.0), rtol=0.1, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [1, 15, 16, 17, 31, 64, 65, 131])
@pytest.mark.parametrize("case", [(1, 1), (2, 1), (1, 2)])
def test_types_and_widths(dtype, width, case, generator):
    x = torch.randn(2, 3, 5, width, generator=generator).to(dtype)
    taps = torch.tensor([1.0, 3, 3, 1]) / 8
    up, down = case
    expected = by_scipy(x.double().numpy(), taps.double().numpy(), (up, up), (down, down), (2, 2, 2, 2))
    for layout in (torch.contiguous_format, torch.channels_last):
        y = ops.upfirdn2d(x.to(memory_format=layout), taps, up=up, down=down, padding=2)
        tolerance = 1e-6 if dtype == torch.float32 else 1e-2
        np.testing.assert_allclose(y.double().numpy(), expected, rtol=tolerance, atol=tolerance)
        assert y.dtype == dtype


@pytest.mark.parametrize("case", [(1, 1), (2, 1), (1, 2)])
def test_several_strips_equal_scipy(case, generator):
    """A plane so large that tasks take some of its rows each."""
    up, down = case
    x = torch.randn(1, 1, 610, 290, generator=generator, dtype=torch.float64)
    taps = torch.tensor([1.0, -3, 2, 5], dtype=torch.float64)
    y = ops.upfirdn2d(x, taps, up=up, down=down, padding=2)
    expected = by_scipy(x.numpy(), taps.numpy(), (up, up), (down, down), (2, 2, 2, 2))
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-12)


@pytest.mark.skipif(native.ops_library() is None, reason=native.why_not_built() or "built")
@pytest.mark.parametrize("case", [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("padding", [(2, 1, 2, 1), (-1, 3, 4, -2), (0, 5, -3, 5)])
@pytest.mark.parametrize("channels", [1, 40])
def test_every_level_rounds_bfloat16_once(implementation, level, case, padding, channels, generator):
    """Symmetric taps, others that bfloat16 holds exactly, and the rest are filtered in different ways."""
    if implementation == "reference":
        pytest.skip("rounds after each axis")
    up, down = case
    x = torch.randn(2, channels, 21, 80, generator=generator).bfloat16()[..., 2:77]
    for taps in (torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 2, -3, 0.5]), torch.tensor([1.0, 2, -3, 0.1])):
        expected = 1.5 * by_scipy(x.double().numpy(), taps.double().numpy(), (up, up), (down, down), padding)
        for layout in (torch.contiguous_format, torch.channels_last):
            arguments = {"up": up, "down": down, "padding": padding, "gain": 1.5}
            y = ops.upfirdn2d(x.to(memory_format=layout), taps, **arguments)
            np.testing.assert_allclose(y.double().numpy(), expected, rtol=2**-8, atol=1e-4)
            flipped = ops.upfirdn2d(x.to(memory_format=layout), taps.flip(0), flip=True, **arguments)
            assert torch.equal(flipped, y)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("shape", [(4,), (3, 4)])
@pytest.mark.parametrize("case", [(1, 1), (2, 1), (1, 2), (3, 1)])
def test_bad_numbers_touch_what_they_are_summed_into(case, shape, bad, layout, generator):
    up, down = case
    x = torch.randn(2, 3, 12, 37, generator=generator)
    arguments = {"up": up, "down": down, "padding": 2}
    taps = torch.ones(shape)
    x[1, 2, 5, 33] = bad
    marked = torch.zeros_like(x)
    marked[1, 2, 5, 33] = 1
    touched = ops.upfirdn2d(marked, taps, **arguments) != 0
    y = ops.upfirdn2d(x.to(memory_format=layout), taps, **arguments)
    assert touched.any()
    assert torch.equal(~y.isfinite(), touched)


@pytest.mark.parametrize(
    ("shape", "size"), [((0, 3, 4, 4), (9, 9)), ((2, 3, 0, 4), (1, 9)), ((2, 3, 4, 0), (9, 1)), ((2, 3, 0, 0), (1, 1))]
)
def test_of_nothing_come_zeros(shape, size):
    x = torch.zeros(shape, requires_grad=True)
    y = ops.upfirdn2d(x, torch.ones(2), up=2, padding=1)
    (gradient,) = torch.autograd.grad(y, x, torch.ones_like(y).requires_grad_(), create_graph=True)
    gradient.sum().backward()
    assert torch.equal(y, torch.zeros(*shape[:2], *size))
    assert gradient.shape == x.shape


def test_errors_name_the_argument():
    x, taps = torch.zeros(1, 1, 4, 4), torch.ones(4)
    for arguments, message in [
        ({"up": 0}, "up is 0"),
        ({"down": (1, 2, 3)}, r"down is \(1, 2, 3\)"),
        ({"up": 1.5}, r"up is 1\.5"),
        ({"padding": 0.5}, r"padding is 0\.5"),
        ({"padding": (1, 2, 3)}, r"padding is \(1, 2, 3\)"),
        ({"padding": -1}, r"padding \[-1, -1, -1, -1\].*smaller than taps \[4\]"),
    ]:
        with pytest.raises(SettingsError, match=message):
            ops.upfirdn2d(x, taps, **arguments)
    with pytest.raises(SettingsError, match=r"taps are torch\.int64"):
        ops.upfirdn2d(x, torch.ones(4, dtype=torch.int64))
    with pytest.raises(SettingsError, match=r"x is .* \[1, 4, 4\]"):
        ops.upfirdn2d(x[0], taps)
    for helper in (ops.blur, ops.upsample2d, ops.downsample2d):
        with pytest.raises(SettingsError, match=rf"^{helper.__name__}: taps are torch\.float32 of shape \[\]"):
            helper(x, torch.ones(()))
    with pytest.raises(SettingsError, match=r"upsample2d: up is \(2, 2\); expected an int"):
        ops.upsample2d(x, taps, up=(2, 2))
