"""The native kernels of layers, norms and resampling as torch sees them: instruction sets, threads, registrations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from ganart_zoo import native, ops

if native.ops_library() is None:
    pytest.skip(native.why_not_built(), allow_module_level=True)

KERNELS = torch.ops.ganart
LEVELS = native.introspection().cpu_isa_levels()
LAYOUTS = [torch.contiguous_format, torch.channels_last]
TAPS = torch.tensor([1.0, 3, 3, 1]) / 8

CASES: dict[str, Callable[[Tensor], Tensor]] = {
    "lrelu": lambda x: ops.bias_act(x, channel_values(x, 1), act="lrelu"),
    "tanh": lambda x: ops.bias_act(x, channel_values(x, 1), act="tanh", gain=2.0, clamp=1.5),
    "swish": lambda x: ops.bias_act(x, channel_values(x, 1), act="swish"),
    "elu": lambda x: ops.bias_act(x, act="elu"),
    "softplus": lambda x: ops.bias_act(x, act="softplus"),
    "instance_norm": lambda x: ops.instance_norm_act(x, channel_values(x, 2), channel_values(x, 1), act="relu"),
    "blur": lambda x: ops.blur(x, TAPS),
    "up": lambda x: ops.upsample2d(x, TAPS),
    "down": lambda x: ops.downsample2d(x, TAPS),
    "nonseparable": lambda x: ops.upfirdn2d(x, torch.outer(TAPS, TAPS), up=(1, 2), down=(2, 1), padding=(3, 2, 1, 4)),
}


def channel_values(x: Tensor, seed: int) -> Tensor:
    return torch.randn(x.shape[1], generator=torch.Generator().manual_seed(seed))


def draw(generator, shape, dtype=torch.float32, layout=torch.contiguous_format) -> Tensor:
    return torch.randn(shape, generator=generator).to(dtype).to(memory_format=layout).requires_grad_()


def results(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The output, and the gradient for weights that differ everywhere."""
    y = function(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).reshape(y.shape).to(y.dtype)
    (grad,) = torch.autograd.grad(y, x, weights)
    return y.detach(), grad


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    before = KERNELS.use_cpu_isa(request.param)
    yield request.param
    KERNELS.use_cpu_isa(before)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_errors_are_at_most_twice_eagers(case, layout, dtype, level, generator):
    function = CASES[case]
    for shape in [(2, 3, 9, 11), (1, 33, 17, 18)]:
        x = draw(generator, shape, dtype, layout)
        with ops.use("reference"):
            exact = results(function, x.detach().double().requires_grad_())
            eager = results(function, x)
        with ops.use("native"):
            ours = results(function, x)
        for true, plain, found in zip(exact, eager, ours, strict=True):
            # One unit in the last place of the largest value: eager may happen to be exact.
            unit = true.abs().max() * torch.finfo(dtype).eps
            assert (found - true).abs().max() <= 2 * torch.maximum((plain - true).abs().max(), unit)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bitwise_the_same_for_any_number_of_threads(case, layout, generator):
    x = draw(generator, (2, 37, 45, 41), layout=layout)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 1):
            torch.set_num_threads(threads)
            found.append(results(CASES[case], x))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("act", ["linear", "lrelu", "swish"])
def test_torch_agrees_with_the_registrations(act, layout, generator):
    x, bias = draw(generator, (2, 3, 4, 5), layout=layout), draw(generator, (3,))
    grad, statistics = torch.randn_like(x), torch.ones(2, 3)
    settings = (act, 0.2, 1.5, 3.0)
    torch.library.opcheck(KERNELS.bias_act.default, (x, bias, *settings))
    torch.library.opcheck(KERNELS.bias_act_backward.default, (grad, x, bias, *settings, True))
    torch.library.opcheck(KERNELS.instance_norm_act.default, (x, bias, bias, act, 0.2, 1e-5))
    arguments = (grad, x, statistics, statistics, bias, None, act, 0.2, 1e-5)
    torch.library.opcheck(KERNELS.instance_norm_act_backward.default, arguments)
    torch.library.opcheck(KERNELS.upfirdn2d.default, (x, TAPS, [2, 1], [1, 2], [3, 2, 1, 2], 2.0, False))


@pytest.mark.slow
def test_compiles_whole(generator):
    def function(x: Tensor, bias: Tensor) -> Tensor:
        y = ops.bias_act(ops.upsample2d(x, TAPS), bias, act="lrelu")
        return ops.instance_norm_act(y, bias, bias, act="relu")

    x, bias = draw(generator, (2, 3, 5, 7)), draw(generator, (3,))
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    for found, expected in zip(
        results(lambda x: compiled(x, bias), x), results(lambda x: function(x, bias), x), strict=True
    ):
        torch.testing.assert_close(found, expected)
