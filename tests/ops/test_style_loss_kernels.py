"""The native Gram and style loss kernels as torch sees them, on each instruction set and number of threads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganart_zoo import native, ops

from .layers import FAR, PAST_CACHES, far_apart

if native.ops_library() is None:
    pytest.skip(native.why_not_built(), allow_module_level=True)

KERNELS = torch.ops.ganart
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def inputs(
    generator: torch.Generator, shape: tuple[int, ...], dtype: torch.dtype, layout: torch.memory_format
) -> tuple[Tensor, Tensor]:
    features = torch.randn(shape, generator=generator).to(dtype).contiguous(memory_format=layout)
    target = torch.randn(shape[0], shape[1], shape[1], generator=generator)
    return features, target.to(torch.float64 if dtype == torch.float64 else torch.float32)


def results(features: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    loss, difference = KERNELS.style_loss(features, target, False)
    gradient = KERNELS.style_loss_backward(torch.full_like(loss, 0.7), difference, features, False)
    return loss, difference, gradient, KERNELS.gram_matrix(features, False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
# Lanes more or less than each level's vector and panel; depths over several blocks and pieces; channels over panels.
@pytest.mark.parametrize("shape", [(1, 2, 3, 5), (2, 9, 30, 31), (1, 17, 70, 71), (1, 67, 34, 35), (1, 260, 23, 24)])
def test_each_level_agrees_with_float64(level, generator, shape, layout, dtype) -> None:
    features, target = inputs(generator, shape, dtype, layout)
    loss, difference, gradient, gram = results(features, target)
    assert torch.equal(gram, gram.mT)
    rows = features.double().flatten(2)
    expected_gram = rows @ rows.mT / rows[0].numel()
    expected = expected_gram - target
    expected_gradient = 0.7 * 2 * (expected + expected.mT) @ rows / expected.numel() / rows[0].numel()
    tolerance = 1e-13 if dtype == torch.float64 else 3e-6
    torch.testing.assert_close(gram.double(), expected_gram, rtol=0, atol=tolerance * expected_gram.abs().max().item())
    torch.testing.assert_close(difference.double(), expected, rtol=0, atol=tolerance * expected.abs().max().item())
    torch.testing.assert_close(loss.double(), expected.square().mean(), rtol=tolerance, atol=0)
    tolerance = 1.5e-2 if dtype == torch.bfloat16 else tolerance
    scale = expected_gradient.abs().max().item()
    torch.testing.assert_close(gradient.double().flatten(2), expected_gradient, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 64, 96, 96), (2, 130, 31, 33), (1, 300, 17, 16)])
def test_bits_depend_neither_on_threads_nor_on_the_run(level, generator, shape, layout, dtype) -> None:
    features, target = inputs(generator, shape, dtype, layout)
    threads = torch.get_num_threads()
    try:
        first = results(features, target)
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert all(map(torch.equal, results(features, target), first)), f"{count} threads"
    finally:
        torch.set_num_threads(threads)


def test_bits_depend_not_on_the_batch(generator) -> None:
    features, _ = inputs(generator, (3, 40, 50, 50), torch.float32, torch.contiguous_format)
    one_by_one = torch.cat([KERNELS.gram_matrix(row[None], False) for row in features])
    assert torch.equal(KERNELS.gram_matrix(features, False), one_by_one)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sample", [(3, 1025, 1025), (32, 232, 256)], ids=str)
def test_large_gradients_are_as_those_of_each_sample(level, generator, sample, layout, dtype) -> None:
    """Bit for bit, though only those of all samples are so large that they are stored past the caches."""
    count = 1 + PAST_CACHES // (torch.Size(sample).numel() * dtype.itemsize)
    features, matrices = inputs(generator, (count, *sample), dtype, layout)
    whole = KERNELS.gram_matrix_backward(matrices, features, False)
    pairs = zip(matrices.split(1), features.split(1), strict=True)
    assert torch.equal(whole, torch.cat([KERNELS.gram_matrix_backward(*pair, False) for pair in pairs]))


@pytest.mark.parametrize("far", FAR)
def test_strides_may_exceed_32_bits(level, generator, far, tmp_path) -> None:
    shape, strides = FAR[far]
    features, target = inputs(generator, shape, torch.bfloat16, torch.contiguous_format)
    found = results(far_apart(features, strides, tmp_path / "sparse"), target)
    for one, expected in zip(found, results(features, target), strict=True):
        torch.testing.assert_close(one, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 33, 13, 17), (1, 100, 40, 41), (1, 5, 3, 3)])
def test_every_output_is_written_and_scratch_does_not_leak(level, generator, shape, layout) -> None:
    """Outputs that start as NaN, and scratch memory that held NaN, show in no result."""
    features, target = inputs(generator, shape, torch.float32, layout)
    expected = results(features, target)
    torch.use_deterministic_algorithms(True)  # torch then fills what it allocates with NaN
    try:
        assert torch.empty(3).isnan().all()
        results(torch.full((2, 140, 41, 43), float("nan")), torch.full((2, 140, 140), float("nan")))
        assert all(map(torch.equal, results(features, target), expected))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 4, 1), (2, 5, 1, 1)])  # not empty: opcheck takes no NaN
@pytest.mark.parametrize("layout", LAYOUTS)
def test_opcheck(generator, shape, layout) -> None:
    features, target = inputs(generator, shape, torch.float32, layout)
    features.requires_grad_()
    target.requires_grad_()
    grad_gram = torch.randn(shape[0], shape[1], shape[1], requires_grad=True)
    torch.library.opcheck(KERNELS.gram_matrix.default, (features, False))
    torch.library.opcheck(KERNELS.gram_matrix_backward.default, (grad_gram, features, False))
    torch.library.opcheck(KERNELS.style_loss.default, (features, target, False))
    grad_loss = torch.ones((), requires_grad=True)
    torch.library.opcheck(KERNELS.style_loss_backward.default, (grad_loss, grad_gram, features, False))


def test_opcheck_of_features_that_must_be_copied(generator) -> None:
    features = torch.randn(2, 6, 8, 9, generator=generator)[:, :, 1:5, 2:7].requires_grad_()
    torch.library.opcheck(KERNELS.style_loss.default, (features, torch.zeros(6, 6), False))
    torch.library.opcheck(KERNELS.gram_matrix_backward.default, (torch.zeros(2, 6, 6), features, False))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # torch's own use
def test_compiles_with_inductor(generator) -> None:
    features, target = inputs(generator, (1, 8, 9, 10), torch.float32, torch.channels_last)
    compiled = torch.compile(lambda x: ops.style_loss(x * 2, target).sqrt(), fullgraph=True)
    wanted, plain = features.clone().requires_grad_(), features.clone().requires_grad_()
    compiled(wanted).backward()
    ops.style_loss(plain * 2, target).sqrt().backward()
    torch.testing.assert_close(wanted.grad, plain.grad)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: KERNELS.gram_matrix(torch.zeros(2, 3, 4), False), ["gram_matrix", "[2, 3, 4]", "[N, C, H, W]"]),
        (lambda: KERNELS.gram_matrix(torch.zeros(1, 2, 3, 4).half(), False), ["Half", "Float, BFloat16 or Double"]),
        (lambda: KERNELS.style_loss(torch.zeros(1, 2, 3, 4), torch.zeros(3, 3), False), ["target_gram", "[3, 3]"]),
        (
            lambda: KERNELS.style_loss(torch.zeros(1, 2, 3, 4), torch.zeros(2, 2).double(), False),
            ["target_gram", "Double", "Float"],
        ),
        (
            lambda: KERNELS.gram_matrix_backward(torch.zeros(2, 2), torch.zeros(1, 2, 3, 4), False),
            ["grad_gram", "[2, 2]", "[1, 2, 2]"],
        ),
        (
            lambda: KERNELS.style_loss_backward(torch.ones(2), torch.zeros(1, 2, 2), torch.zeros(1, 2, 3, 4), False),
            ["grad_loss", "[2]"],
        ),
        (lambda: KERNELS.use_cpu_isa("mmx"), ["'mmx'", "baseline"]),
    ],
)
def test_misuse_of_the_raw_ops_is_refused(call, named) -> None:
    with pytest.raises((RuntimeError, ValueError)) as caught:
        call()
    assert all(name in str(caught.value) for name in named)
