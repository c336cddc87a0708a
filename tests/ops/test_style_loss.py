"""Gram matrix and style loss: values against NumPy in float64, derivatives, layouts, errors; both implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.contract.errors import SettingsError

NATIVE_OPS = ["ganart::gram_matrix", "ganart::style_loss"]

# How far the result may be from float64's, relative to the largest entry: sums in float32 of numbers of order one, and
# gradients rounded to their dtype.
VALUE_TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-6, torch.float64: 1e-14}
GRADIENT_TOLERANCE = {torch.float32: 5e-6, torch.bfloat16: 1.5e-2, torch.float64: 1e-13}
DTYPES = list(VALUE_TOLERANCE)


def gram_formula(features: Tensor) -> np.ndarray:
    """F F^T / (C*H*W) in NumPy's float64."""
    rows = features.detach().double().flatten(2).numpy()
    return np.einsum("nip,njp->nij", rows, rows) / np.prod(features.shape[1:])


def loss_formula(features: Tensor, target: Tensor) -> tuple[float, np.ndarray, np.ndarray]:
    """The loss and its gradients in features and target, in NumPy's float64."""
    difference = gram_formula(features) - target.detach().double().numpy()
    rows = features.detach().double().flatten(2).numpy()
    symmetric = difference + difference.swapaxes(1, 2)
    gradient = symmetric @ rows * 2 / difference.size / np.prod(features.shape[1:])
    return float(np.mean(difference**2)), gradient.reshape(features.shape), -2 * difference / difference.size


def features_of(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def sum_type(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def error(found: Tensor, expected: np.ndarray | float) -> float:
    expected = np.asarray(expected)
    assert tuple(found.shape) == expected.shape
    if expected.size == 0:
        return 0.0
    distance = np.abs(found.detach().double().numpy() - expected).max()
    return float(distance / max(np.abs(expected).max(), 1e-30))


def check_everything(features: Tensor, target: Tensor) -> None:
    """Loss, gradient and Gram matrix of these features, read as they lie, against the formulas."""
    dtype = features.dtype
    loss_expected, gradient_expected, _ = loss_formula(features, target)
    gram = ops.gram_matrix(features)
    assert gram.dtype == sum_type(dtype)
    # One sum of that many squares, all of one sign: what rounding takes from it grows with their number.
    tolerance = VALUE_TOLERANCE[dtype] * max(1, features[0, 0].numel() / 400 if features.numel() else 1)
    assert error(gram, gram_formula(features)) < tolerance
    wanted = features.detach().requires_grad_()
    loss = ops.style_loss(wanted, target)
    assert loss.shape == ()
    assert loss.dtype == sum_type(dtype)
    (gradient,) = torch.autograd.grad(loss, wanted)
    assert gradient.dtype == dtype
    # A target that happens to be near the Gram matrix leaves few digits of their difference.
    lost = (gram.detach().abs() + target.abs()).double().norm() / max(loss_expected * target.numel(), 1e-300) ** 0.5
    assert error(loss, loss_expected) < 4 * tolerance * max(1, lost)
    assert error(gradient, gradient_expected) < GRADIENT_TOLERANCE[dtype] * max(1, lost)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 3, 8, 8),
        (2, 16, 9, 9),
        (1, 33, 31, 33),
        (3, 65, 5, 7),
        (1, 1, 1, 1),
        (2, 7, 1, 600),
        (1, 130, 16, 17),
        (1, 64, 40, 41),
        (1, 200, 2, 2),
    ],
)
def test_values_and_gradients(implementation, generator, shape, layout, dtype) -> None:
    features = features_of(shape, dtype, generator).contiguous(memory_format=layout)
    target = features_of((shape[0], shape[1], shape[1]), sum_type(dtype), generator)
    check_everything(features, target)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(
        st.integers(1, 3),
        st.one_of(st.integers(1, 70), st.sampled_from([15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 128, 129])),
        st.integers(1, 40),
        st.integers(1, 40),
    ),
    dtype=st.sampled_from(DTYPES),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_any_shape(implementation, shape, dtype, channels_last, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    features = features_of(shape, dtype, generator).contiguous(memory_format=layout)
    check_everything(features, features_of((shape[0], shape[1], shape[1]), sum_type(dtype), generator))


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4), (2, 3, 4, 0), (0, 0, 0, 0)])
def test_empty_features_have_no_mean(implementation, shape) -> None:
    features = torch.zeros(shape, requires_grad=True)
    target = torch.zeros(shape[0], shape[1], shape[1])
    gram, loss = ops.gram_matrix(features), ops.style_loss(features, target)
    assert gram.shape == target.shape
    assert gram.isnan().all()
    assert loss.isnan()
    loss.backward()
    assert features.grad is not None
    assert features.grad.shape == features.shape


VIEWS = {
    "expanded samples": lambda x: x[:1].expand(3, -1, -1, -1),
    "expanded channels": lambda x: x[:, :1].expand(-1, 5, -1, -1),
    "expanded pixels": lambda x: x[:, :, :1, :1].expand(-1, -1, 6, 7),
    "transposed": lambda x: x.transpose(2, 3),
    "rotated": lambda x: x.permute(2, 3, 0, 1),
    "channel slice": lambda x: x[:, 2:19],
    "every second channel": lambda x: x[:, ::2],
    "sample slice": lambda x: x[1:],
    "crop": lambda x: x[:, :, 1:-2, 3:],
    "every second pixel": lambda x: x[:, :, ::2, ::2],
    "rows only": lambda x: x[:, :, 3:8],
    "one column": lambda x: x[:, :, :, 4:5],
    "one pixel": lambda x: x[:, :, 4:5, 4:5],
    "one channel": lambda x: x[:, 4:5],
    "misaligned": lambda x: x.flatten()[1 : 1 + 2 * 3 * 11 * 13].view(2, 3, 11, 13),
    "flipped": lambda x: x.flip(2),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("view", VIEWS)
def test_views_are_read_right(implementation, generator, view, layout, dtype) -> None:
    base = features_of((2, 21, 11, 13), dtype, generator)
    features = VIEWS[view](base if view == "misaligned" else base.contiguous(memory_format=layout))
    target = features_of((features.shape[0], features.shape[1], features.shape[1]), sum_type(dtype), generator)
    check_everything(features, target)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradient_keeps_the_layout(implementation, generator, layout) -> None:
    features = features_of((2, 5, 6, 7), torch.float32, generator).contiguous(memory_format=layout).requires_grad_()
    ops.style_loss(features, torch.zeros(5, 5)).backward()
    assert features.grad is not None
    assert features.grad.stride() == features.stride()


@pytest.mark.parametrize("target_shape", [(4, 4), (1, 4, 4), (3, 4, 4)])
def test_one_target_serves_all_samples(implementation, generator, target_shape) -> None:
    features = features_of((3, 4, 5, 6), torch.float64, generator)
    target = features_of(target_shape, torch.float64, generator).requires_grad_()
    loss = ops.style_loss(features, target)
    expected, _, target_gradient = loss_formula(features, target.expand(3, 4, 4))
    assert error(loss, expected) < 1e-14
    (gradient,) = torch.autograd.grad(loss, target)
    assert gradient.shape == target_shape
    if target_shape != (3, 4, 4):
        target_gradient = target_gradient.sum(0, keepdims=len(target_shape) == 3)
    assert error(gradient, target_gradient) < 1e-14


def test_target_may_be_a_view_and_need_not_be_symmetric(implementation, generator) -> None:
    features = features_of((2, 6, 5, 5), torch.float32, generator)
    check_everything(features, features_of((2, 6, 6), torch.float32, generator).transpose(1, 2))
    check_everything(features, features_of((2, 9, 9), torch.float32, generator)[:, 1:7, 2:8])


def test_loss_of_own_gram_is_zero(implementation, generator) -> None:
    features = features_of((2, 40, 16, 16), torch.float32, generator).requires_grad_()
    loss = ops.style_loss(features, ops.gram_matrix(features.detach()))
    loss.backward()
    assert loss == 0
    assert not features.grad.any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_numbers_are_not_hidden(implementation, generator, layout, dtype, bad) -> None:
    features = features_of((2, 37, 6, 7), dtype, generator).contiguous(memory_format=layout)
    features[1, 35, 4, 3] = bad
    gram = ops.gram_matrix(features)
    touched = torch.zeros_like(gram, dtype=torch.bool)
    touched[1, 35], touched[1, :, 35] = True, True
    assert torch.equal(~gram.isfinite(), touched)
    features.requires_grad_()
    loss = ops.style_loss(features, torch.zeros(37, 37, dtype=sum_type(dtype)))
    loss.backward()
    assert not loss.isfinite()
    assert features.grad[1].isnan().any()
    assert features.grad[0].isfinite().all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_derivatives_of_every_order(implementation, generator, layout) -> None:
    features = features_of((2, 3, 3, 4), torch.float64, generator).contiguous(memory_format=layout).requires_grad_()
    target = features_of((2, 3, 3), torch.float64, generator).requires_grad_()
    assert torch.autograd.gradcheck(ops.gram_matrix, features)
    assert torch.autograd.gradgradcheck(ops.gram_matrix, features)
    assert torch.autograd.gradcheck(ops.style_loss, (features, target))
    assert torch.autograd.gradgradcheck(ops.style_loss, (features, target))
    assert torch.autograd.gradgradcheck(lambda x: ops.style_loss(x, target.detach()), features)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_less_exact_than_eager(implementation, generator, dtype) -> None:
    check_beside_eager(generator, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_level_is_less_exact_than_eager(level, generator, dtype) -> None:
    with ops.use("native"):
        check_beside_eager(generator, dtype)


def check_beside_eager(generator, dtype) -> None:
    """Error against float64 at most twice that of the plain computation wholly in this dtype."""
    features = features_of((1, 96, 48, 48), dtype, generator)
    target = gram_formula(features_of((1, 96, 48, 48), torch.float64, generator))
    target = torch.from_numpy(target).float()

    def eager(x: Tensor) -> Tensor:
        rows = x.flatten(2)
        gram = torch.bmm(rows, rows.transpose(1, 2)) / rows[0].numel()
        return torch.nn.functional.mse_loss(gram, target.to(dtype))

    expected, gradient_expected, _ = loss_formula(features, target)
    errors = []
    for function in (lambda x: ops.style_loss(x, target), eager):
        wanted = features.detach().requires_grad_()
        loss = function(wanted)
        (gradient,) = torch.autograd.grad(loss, wanted)
        errors.append((error(loss, expected), error(gradient, gradient_expected)))
    (ours, our_gradient), (theirs, their_gradient) = errors
    assert ours <= 2 * theirs + torch.finfo(torch.float32).eps
    assert our_gradient <= 2 * their_gradient


def test_autocast_changes_nothing(implementation, generator) -> None:
    features, target = features_of((1, 8, 9, 9), torch.float32, generator), torch.zeros(8, 8)
    outside = ops.gram_matrix(features), ops.style_loss(features, target)
    with torch.autocast("cpu", torch.bfloat16):
        inside = ops.gram_matrix(features), ops.style_loss(features, target)
        halves = ops.style_loss(torch.nn.functional.conv2d(features, torch.ones(8, 8, 1, 1)), target)
    assert torch.equal(outside[0], inside[0])
    assert torch.equal(outside[1], inside[1])
    assert halves.dtype == torch.float32


def test_compiles_whole(implementation, generator) -> None:
    @torch.compile(fullgraph=True, backend="aot_eager")
    def twice(x: Tensor, target: Tensor) -> Tensor:
        return 2 * ops.style_loss(x, target) + ops.gram_matrix(x).mean()

    features = features_of((1, 6, 7, 8), torch.float32, generator).contiguous(memory_format=torch.channels_last)
    target = torch.zeros(6, 6)
    for size in (8, 5, 6):  # the second shape makes torch compile for any
        compiled_input, eager_input = (features[..., :size].clone().requires_grad_() for _ in range(2))
        compiled = twice(compiled_input, target)
        eager = 2 * ops.style_loss(eager_input, target) + ops.gram_matrix(eager_input).mean()
        compiled.backward()
        eager.backward()
        torch.testing.assert_close(compiled, eager)
        torch.testing.assert_close(compiled_input.grad, eager_input.grad)


@pytest.mark.parametrize(
    ("features", "target", "named"),
    [
        (torch.zeros(3, 4, 5), None, ["[3, 4, 5]", "[N, C, H, W]"]),
        (torch.zeros(1, 3, 4, 5, dtype=torch.int32), None, ["torch.int32", "floating point"]),
        (torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4), ["[2, 3, 4]", "[2, 3, 3]"]),
        (torch.zeros(2, 3, 4, 5), torch.zeros(3, 3, 3), ["[3, 3, 3]", "[1, 3, 3]"]),
        (torch.zeros(2, 3, 4, 5), torch.zeros(3, 3, dtype=torch.float64), ["torch.float64", "torch.float32"]),
        (torch.zeros(2, 3, 4, 5).double(), torch.zeros(3, 3), ["torch.float32", "torch.float64"]),
        (torch.zeros(2, 3, 4, 5), torch.zeros(3, 3, device="meta"), ["meta", "cpu"]),
    ],
)
def test_errors_name_what_is_wrong(implementation, features, target, named) -> None:
    with pytest.raises(SettingsError) as caught:
        ops.gram_matrix(features) if target is None else ops.style_loss(features, target)
    assert str(caught.value).startswith("gram_matrix: " if target is None else "style_loss: ")
    assert all(name in str(caught.value) for name in named)
    assert "\n" not in str(caught.value)
