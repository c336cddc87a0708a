"""The CUDA kernels of the fused layers on a GPU, through the ops, against their references in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import get_args

import pytest
import torch
from torch import Tensor

from ganart_zoo import ops
from ganart_zoo.ops.activation import Activation
from ganart_zoo.ops.scaled_bias_act import scaled_bias_act

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
SHAPES = (  # those of generators and critics, then lines and runs cut anywhere
    *((8, 64, 128, 128), (8, 256, 32, 32), (2, 512, 4, 4), (1, 3, 1024, 1024), (300, 2, 256, 256)),
    *((2, 3, 1, 1), (3, 7, 17, 19), (1, 1, 31, 33), (2, 129, 5, 7), (1, 37, 65, 65), (2, 3, 96, 128)),
)
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
Call = Callable[..., Tensor]


@pytest.fixture(autouse=True)
def native_kernels() -> Iterator[None]:
    with ops.use("native"):
        yield


def draw(shape: tuple[int, ...], dtype: torch.dtype, *, channels_last: bool = False, seed: int = 0) -> Tensor:
    generator = torch.Generator("cuda").manual_seed(seed)
    values = torch.randn(shape, device="cuda", generator=generator).to(dtype)
    return values.contiguous(memory_format=torch.channels_last) if channels_last else values


def evaluate(call: Call, inputs: list[Tensor]) -> list[Tensor]:
    """Return the result and its gradients against fixed values."""
    inputs = [value.detach().requires_grad_() for value in inputs]
    result = call(*inputs)
    grad = draw(tuple(result.shape), torch.float32, seed=9).to(result)
    return [result.detach(), *torch.autograd.grad(result, inputs, grad)]


def distance(found: Tensor, exact: Tensor) -> float:
    return float(torch.linalg.vector_norm(found.double() - exact) / torch.linalg.vector_norm(exact).clamp(min=1e-30))


def check(call: Call, inputs: list[Tensor]) -> None:
    """Hold the kernels' error against the reference's at the same type, both from float64."""
    native = evaluate(call, inputs)
    with ops.use("reference"):
        eager = evaluate(call, inputs)
        exact = evaluate(call, [value.double() for value in inputs])
    for found, plain, true in zip(native, eager, exact, strict=True):
        assert found.dtype == plain.dtype
        assert distance(found, true) <= 2 * distance(plain, true) + torch.finfo(inputs[0].dtype).eps
    layout = torch.channels_last if inputs[0].stride(1) == 1 else torch.contiguous_format
    for like_x in native[:2]:
        assert like_x.is_contiguous(memory_format=layout)


def sum_type(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bias_act(shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool) -> None:
    inputs = [draw(shape, dtype, channels_last=channels_last), draw(shape[1:2], sum_type(dtype), seed=1)]
    check(lambda x, bias: ops.bias_act(x, bias, act="lrelu", clamp=256.0), inputs)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scaled_bias_act(shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool) -> None:
    x = draw(shape, dtype, channels_last=channels_last)
    samples, channels, *sides = shape
    for seed, noise_samples in ((1, samples), (4, 1)):
        terms = ((samples, channels), (noise_samples, 1, *sides), (channels,))
        affine = [draw(size, sum_type(dtype), seed=seed + place) for place, size in enumerate(terms)]
        check(lambda *tensors: scaled_bias_act("test", *tensors, act="lrelu", clamp=256.0), [x, *affine])
    check(lambda x, scale: scaled_bias_act("test", x, scale), [x, affine[0]])


@pytest.mark.parametrize("act", get_args(Activation))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_activation(dtype: torch.dtype, act: Activation) -> None:
    x, values = draw((2, 5, 16, 16), dtype), draw((5,), sum_type(dtype), seed=1)
    check(lambda x, bias: ops.bias_act(x, bias, act=act), [x, values])
    check(lambda x, weight, bias: ops.instance_norm_act(x, weight, bias, act=act), [x, values, values])
    scale, noise = draw((2, 5), sum_type(dtype), seed=2), draw((1, 1, 16, 16), sum_type(dtype), seed=3)
    check(lambda *tensors: scaled_bias_act("test", *tensors, act=act), [x, scale, noise, values])


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_instance_norm_act(shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool) -> None:
    x = draw(shape, dtype, channels_last=channels_last)
    weight, bias = (draw(shape[:2], sum_type(dtype), seed=seed) for seed in (1, 2))
    check(lambda x, weight, bias: ops.instance_norm_act(x, weight, bias, act="relu", eps=1e-2), [x, weight, bias])
    check(lambda x, mean, std: ops.adain(x, mean, std, eps=1e-2), [x, weight, bias])


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_upfirdn2d(shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool) -> None:
    x, taps = draw(shape, dtype, channels_last=channels_last), TAPS.cuda()
    for call in (ops.blur, ops.upsample2d):
        check(lambda x, call=call: call(x, taps), [x])
    check(lambda x: ops.upfirdn2d(x, taps, down=2, padding=(2, 3, 1, 2), flip=True), [x])
    if min(shape[2:]) > 2 and x.numel() < 1 << 20:
        matrix = draw((3, 5), torch.float32, seed=1)
        check(lambda x: ops.upfirdn2d(x, matrix, up=(3, 1), down=(2, 1), padding=(7, -1, 4, 2)), [x])


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_norms_over_channels_and_samples(shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool) -> None:
    x = draw(shape, dtype, channels_last=channels_last)
    check(ops.pixel_norm, [x])
    group = 4 if shape[0] % 4 == 0 else shape[0]
    for neighbours, runs in ((False, 1), (True, shape[1])):
        check(lambda x, n=neighbours, r=runs: ops.minibatch_stddev(x, group, r, neighbours=n), [x])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_runs_repeat_bit_for_bit(dtype: torch.dtype) -> None:
    def summed(x: Tensor, bias: Tensor, act: Activation) -> Tensor:
        return scaled_bias_act("test", x, bias.expand(len(x), -1), bias.sum().expand(1, 1, 100, 90), bias, act=act)

    for channels_last in (False, True):
        x = draw((4, 96, 100, 90), dtype, channels_last=channels_last)
        values = draw((96,), sum_type(dtype), seed=1)
        for call in (ops.bias_act, ops.instance_norm_act, summed):
            first = evaluate(lambda x, bias, call=call: call(x, bias, act="swish"), [x, values])
            for _ in range(5):
                again = evaluate(lambda x, bias, call=call: call(x, bias, act="swish"), [x, values])
                assert all(torch.equal(one, other) for one, other in zip(again, first, strict=True))
        for norm in (ops.pixel_norm, ops.minibatch_stddev):
            first = evaluate(norm, [x])
            assert all(map(torch.equal, evaluate(norm, [x]), first))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_views_give_what_their_copies_give(dtype: torch.dtype) -> None:
    base, values, taps = draw((3, 40, 33, 44), dtype), draw((40,), sum_type(dtype), seed=1), TAPS.cuda()
    shifted = torch.empty(base.numel() + 1, dtype=dtype, device="cuda")[1:].view(base.shape).copy_(base)
    views = [base[1:], base[..., 1:], base.flip(3), base.mT, base[:1].expand(3, -1, -1, -1), shifted]
    for view in views:
        copy = view.clone(memory_format=torch.contiguous_format)
        for call in (
            lambda x: ops.bias_act(x, values, act="lrelu"),
            lambda x: ops.instance_norm_act(x, values, values),
            lambda x: ops.upsample2d(x, taps),
            ops.pixel_norm,
            lambda x: ops.minibatch_stddev(x, len(x)),
        ):
            tolerance = 4 * torch.finfo(dtype).eps
            torch.testing.assert_close(call(view), call(copy), rtol=tolerance, atol=tolerance)


def test_more_elements_than_an_int_counts() -> None:
    x = draw((1, 64, 46341, 730), torch.bfloat16)  # 2.2e9
    bias = draw((64,), torch.float32, seed=1)
    end = x[:, :, -8:].contiguous()
    y = ops.bias_act(x, bias, act="lrelu")[:, :, -8:]
    assert torch.equal(y, ops.bias_act(end, bias, act="lrelu"))
    blurred = ops.blur(x, TAPS.cuda())[:, :, -4:]
    assert torch.equal(blurred, ops.blur(end, TAPS.cuda())[:, :, -4:])
    mean = ops.instance_norm_act(x)[:, -1].mean(dtype=torch.float32)
    assert abs(mean.item()) < 1e-3


@pytest.mark.parametrize("channels_last", [False, True])
def test_gradients_can_be_differentiated(channels_last: bool) -> None:
    x = draw((1, 4, 6, 6), torch.float64, channels_last=channels_last).requires_grad_()
    values, taps = draw((4,), torch.float64, seed=1).requires_grad_(), TAPS.cuda()
    torch.autograd.gradgradcheck(lambda x, bias: ops.bias_act(x, bias, act="swish"), (x, values))
    torch.autograd.gradgradcheck(lambda x, bias: ops.instance_norm_act(x, bias, bias, act="tanh"), (x, values))
    torch.autograd.gradgradcheck(lambda x: ops.upsample2d(x, taps), (x,))
    torch.autograd.gradgradcheck(ops.pixel_norm, (x,))
    pair = torch.cat([x.detach(), 2 * x.detach().flip(1)]).requires_grad_()
    torch.autograd.gradgradcheck(ops.minibatch_stddev, (pair,))
