"""The CUDA kernels of the style loss on a GPU, through the ops, against float64 and eager PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.bench import baselines
from ganart_zoo.ops.style_loss import style_loss_reference

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SHAPES = (  # VGG-19's taps at 512 pixels, then tiles and vectors cut anywhere
    *((1, 64, 512, 512), (2, 128, 256, 256), (1, 256, 128, 128), (8, 512, 64, 64), (8, 512, 32, 32)),
    *((1, 3, 8, 8), (2, 1, 1, 1), (3, 33, 17, 19), (1, 65, 31, 33), (2, 129, 5, 7), (1, 200, 3, 1), (1, 1025, 16, 16)),
)


@pytest.fixture(autouse=True)
def native_kernels() -> Iterator[None]:
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    with ops.use("native"):
        yield
    torch.backends.cuda.matmul.allow_tf32 = allowed


def draw(shape: tuple[int, ...], dtype: torch.dtype, *, channels_last: bool = False) -> Tensor:
    generator = torch.Generator("cuda").manual_seed(0)
    features = torch.randn(shape, device="cuda", generator=generator).to(dtype)
    return features.contiguous(memory_format=torch.channels_last) if channels_last else features


def evaluate(features: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss and the gradient of the features."""
    features = features.detach().requires_grad_()
    loss = ops.style_loss(features, target)
    return loss.detach(), torch.autograd.grad(loss, features)[0]


def distance(found: Tensor, exact: Tensor) -> float:
    return float(torch.linalg.vector_norm(found.double() - exact) / torch.linalg.vector_norm(exact))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_error_is_at_most_twice_eagers(shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool) -> None:
    features = draw(shape, dtype, channels_last=channels_last)
    target = baselines.gram_matrix(draw((1, *shape[1:]), torch.float64).flip(1))
    exact_features = features.double().requires_grad_()
    exact_loss, exact_difference = style_loss_reference(exact_features, target, False)
    exact_gradient = torch.autograd.grad(exact_loss, exact_features)[0]

    eager_features = features.clone().requires_grad_()
    each_target = target.to(dtype).expand(shape[0], -1, -1)
    eager_gradient = torch.autograd.grad(baselines.style_loss(eager_features, each_target), eager_features)[0]

    loss, gradient = evaluate(features, target.float())
    assert loss.item() == pytest.approx(exact_loss.item(), rel=1e-5)
    assert gradient.dtype == dtype
    assert gradient.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    assert distance(gradient, exact_gradient) <= 2 * distance(eager_gradient, exact_gradient) + torch.finfo(dtype).eps

    gram = ops.gram_matrix(features)
    exact_gram = exact_difference.detach() + target
    eager_gram = baselines.gram_matrix(features)
    assert distance(gram, exact_gram) <= 2 * distance(eager_gram, exact_gram) + torch.finfo(dtype).eps
    assert torch.equal(gram, gram.mT)


@pytest.mark.parametrize("channels_last", [False, True])
def test_tf32_is_used_only_where_allowed(channels_last: bool) -> None:
    features = draw((2, 128, 64, 64), torch.float32, channels_last=channels_last)
    exact = baselines.gram_matrix(features.double())
    plain = distance(ops.gram_matrix(features), exact)
    torch.backends.cuda.matmul.allow_tf32 = True
    rounded = distance(ops.gram_matrix(features), exact)
    assert plain < 2e-6
    assert 2e-6 < rounded < 1e-3


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_runs_repeat_bit_for_bit(dtype: torch.dtype) -> None:
    features = draw((2, 192, 100, 90), dtype)
    target = torch.zeros(1, 192, 192, device="cuda")
    first_loss, first_gradient = evaluate(features, target)
    for _ in range(5):
        loss, gradient = evaluate(features, target)
        assert torch.equal(loss, first_loss)
        assert torch.equal(gradient, first_gradient)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_views_give_what_their_copies_give(dtype: torch.dtype) -> None:
    base = draw((3, 80, 33, 41), dtype)
    target = torch.zeros(1, 80, 80, device="cuda")
    shifted = torch.empty(base.numel() + 1, dtype=dtype, device="cuda")[1:].view(base.shape).copy_(base)
    views = [base[1:], base[..., 1:], base.flip(3), base.mT, base[:1].expand(3, -1, -1, -1), shifted]
    for view in views:
        loss, gradient = evaluate(view, target)
        copied_loss, copied_gradient = evaluate(view.clone(memory_format=torch.contiguous_format), target)
        torch.testing.assert_close(loss, copied_loss, rtol=1e-5, atol=0)
        torch.testing.assert_close(gradient, copied_gradient, rtol=1e-2, atol=1e-6 * gradient.abs().max().item())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_nan_is_not_lost(dtype: torch.dtype) -> None:
    features = draw((1, 70, 9, 9), dtype)
    features[0, 69, 8, 8] = torch.nan
    loss, gradient = evaluate(features, torch.zeros(70, 70, device="cuda"))
    assert loss.isnan()
    assert gradient.isnan().all()


def test_more_elements_than_an_int_counts() -> None:
    features = draw((1, 64, 46341, 730), torch.bfloat16)  # 2.2e9
    gram = ops.gram_matrix(features)
    tail = torch.zeros_like(gram)
    for rows in features.split(4096, dim=2):
        tail += ops.gram_matrix(rows) * (rows.shape[2] / features.shape[2])
    torch.testing.assert_close(gram, tail, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_gradient_can_be_differentiated(channels_last: bool) -> None:
    features = draw((1, 20, 6, 7), torch.float32, channels_last=channels_last).requires_grad_()
    target = torch.zeros(20, 20, device="cuda")

    def penalty(loss: Tensor) -> Tensor:
        gradient = torch.autograd.grad(loss, features, create_graph=True)[0]
        return torch.autograd.grad(gradient.square().sum(), features)[0]

    native = penalty(ops.style_loss(features, target))
    plain = penalty(style_loss_reference(features, target, False)[0])
    torch.testing.assert_close(native, plain, rtol=1e-4, atol=1e-9)
