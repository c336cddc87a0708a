"""The native kernels of layers, norms and resampling as torch sees them: instruction sets, threads, registrations."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import get_args

import pytest
import torch
from torch import Tensor

from ganart_zoo import native, ops
from ganart_zoo.ops.scaled_bias_act import scaled_bias_act

from .layers import FAR, LAYERS, PAST_CACHES, TAPS, VIEWS, Problem, draw, expect, far_apart, poisoned_memory

if native.ops_library() is None:
    pytest.skip(native.why_not_built(), allow_module_level=True)

KERNELS = torch.ops.ganart
LEVELS = native.introspection().cpu_isa_levels()
LAYOUTS = ["contiguous", "channels_last"]
SEVERAL_TASKS = (2, 37, 23, 25)  # more elements than one task takes
ONE_CHANNEL = (2, 1, 150, 151)
ACTIVATIONS = get_args(ops.Activation)


@pytest.fixture(autouse=True)
def native_kernels() -> Iterator[None]:
    level, threads = KERNELS.use_cpu_isa(""), torch.get_num_threads()
    with ops.use("native"):
        yield
    KERNELS.use_cpu_isa(level)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_level_errs_at_most_twice_as_much_as_eager(name, layout, dtype) -> None:
    problem = draw(name, SEVERAL_TASKS, layout, layout, dtype, seed=1)
    expected = expect(problem)
    for level in LEVELS:
        KERNELS.use_cpu_isa(level)
        expected.check(problem.outcome())


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [SEVERAL_TASKS, ONE_CHANNEL], ids=str)
def test_bits_depend_neither_on_threads_nor_on_the_run_nor_on_what_memory_held(name, layout, dtype, shape) -> None:
    problem = draw(name, shape, layout, layout, dtype, seed=2)
    first = problem.outcome()
    by_vendor = "conv2d" in name  # whose weight gradients do depend on the number of threads
    with poisoned_memory():
        for threads in (torch.get_num_threads(),) if by_vendor else (1, 2, 3):
            torch.set_num_threads(threads)
            problem.map(lambda tensor: tensor * torch.nan).outcome()  # which leaves NaN in the kernels' scratch memory
            assert all(map(torch.equal, problem.outcome(), first)), f"{threads} threads"


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        *((name, layout) for name in ("bias_act lrelu", "blur") for layout in LAYOUTS),
        ("instance_norm_act", "contiguous"),
        ("upsample2d", "contiguous"),
    ],
)
@pytest.mark.parametrize(
    "sample",
    [
        (3, 1025, 1025),  # rows and samples start anywhere
        (3, 1024, 1028),  # samples where vectors may, and channels_last pixels only several at a time
        (32, 232, 256),  # and all rows
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_samples_of_large_features_are_as_on_their_own(name, sample, layout, dtype, generator) -> None:
    """Bit for bit, whether their results are stored past the caches or not."""
    channels, height, width = sample
    scale = 2 if name == "upsample2d" else 1
    count = 1 + PAST_CACHES // (channels * height * width * dtype.itemsize)

    def make(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    def results(features: Tensor) -> list[Tensor]:
        leaf = features.detach().requires_grad_()
        values = [torch.linspace(-1, 1, *shape) for shape in LAYERS[name].others(*features.shape)]
        y = LAYERS[name].run(leaf, *values)
        return [y.detach(), *torch.autograd.grad(y, leaf, y.detach())]

    x = VIEWS[layout](make, count, channels, height // scale, width // scale)
    for level in LEVELS:
        KERNELS.use_cpu_isa(level)
        alone = [results(one) for one in x.split(1)]
        for whole, parts in zip(results(x), zip(*alone, strict=True), strict=True):
            assert torch.equal(whole, torch.cat(parts))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_large_mean_costs_no_more_digits_than_eager(layout, dtype) -> None:
    for name in ("instance_norm_act", "adain"):
        problem = draw(name, (1, 5, 60, 70), layout, layout, dtype, seed=3)
        far = Problem(problem.layer, [problem.inputs[0] + 300, *problem.inputs[1:]], problem.weights)
        for shifted in (far, far._replace(inputs=[torch.full_like(far.inputs[0], 300.7), *far.inputs[1:]])):
            expect(shifted).check(shifted.outcome())


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("clamp", [None, 0.8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bad_numbers_are_not_hidden(act, clamp, dtype) -> None:
    x = torch.linspace(-3, 3, 2 * 3 * 5 * 17).reshape(2, 3, 5, 17).to(dtype)
    x[0, 0, 0, 3], x[0, 1, 2, 16], x[1, 2, 4, 15] = torch.nan, torch.inf, -torch.inf
    for level in LEVELS:
        KERNELS.use_cpu_isa(level)
        for layout in (torch.contiguous_format, torch.channels_last):
            features = x.to(memory_format=layout)
            found = ops.bias_act(features, torch.zeros(3), act=act, clamp=clamp)
            with ops.use("reference"):
                expected = ops.bias_act(features, act=act, clamp=clamp)
            torch.testing.assert_close(found, expected, equal_nan=True)
            scaled = scaled_bias_act("test", features, torch.ones(2, 3), act=act, clamp=clamp)
            torch.testing.assert_close(scaled, expected, equal_nan=True)
            if clamp is None:
                touched = x.isfinite().all(dim=(2, 3)).logical_not()
                normal = ops.instance_norm_act(features, act=act)
                assert torch.equal(normal.isnan().all(dim=(2, 3)), touched)
                assert torch.equal(normal.isnan().any(dim=(2, 3)), touched)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_nan_shows_in_all_that_depends_on_it(layout, dtype, generator) -> None:
    x = VIEWS[layout](lambda *shape: torch.randn(shape, generator=generator), 4, 6, 5, 17).to(dtype)
    x[1, 5, 4, 16] = torch.nan
    pixels, statistics = torch.zeros_like(x, dtype=torch.bool), torch.zeros(4, 2, 5, 17, dtype=torch.bool)
    pixels[1, :, 4, 16], statistics[1::2, 1] = True, True
    for level in LEVELS:
        KERNELS.use_cpu_isa(level)
        assert torch.equal(ops.pixel_norm(x).isnan(), pixels)
        assert torch.equal(ops.minibatch_stddev(x, 2, 2).isnan(), torch.cat([x.isnan(), statistics], dim=1))


@pytest.mark.parametrize(
    "name",
    [
        "bias_act lrelu",
        "scaled_bias_act lrelu",
        "instance_norm_act",
        "blur",
        "upsample2d",
        "minibatch_stddev",
        "pixel_norm",
    ],
)
@pytest.mark.parametrize("far", FAR)
def test_strides_may_exceed_32_bits(name, far, tmp_path) -> None:
    shape, strides = FAR[far]
    problem = draw(name, shape, "contiguous", "contiguous", torch.bfloat16, seed=4)
    x, *others = problem.inputs

    def outcome(features: Tensor) -> list[Tensor]:
        # A gradient that is far apart too.
        weights = problem.weights if name in ("upsample2d", "minibatch_stddev") else features
        return Problem(problem.layer, [features, *others], weights).outcome()

    for found, expected in zip(outcome(far_apart(x, strides, tmp_path / "sparse")), outcome(x), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_second_derivatives(name, layout) -> None:
    problem = draw(name, (2, 2, 2, 3), layout, layout, torch.float64, seed=5)
    leaves = [tensor.detach().requires_grad_() for tensor in problem.inputs]
    assert torch.autograd.gradcheck(problem.layer.run, leaves)
    assert torch.autograd.gradgradcheck(problem.layer.run, leaves)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("act", ["linear", "lrelu", "swish"])
def test_opcheck(act, layout, generator) -> None:
    def make(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    x, bias = VIEWS[layout](make, 2, 3, 4, 5).requires_grad_(), make(3).requires_grad_()
    grad, statistics = torch.randn_like(x), torch.ones(2, 3)
    settings = (act, 0.2, 1.5, 3.0)
    torch.library.opcheck(KERNELS.bias_act.default, (x, bias, *settings))
    torch.library.opcheck(KERNELS.bias_act_backward.default, (grad, x, bias, *settings, True))
    scale, noise = make(2, 3).requires_grad_(), make(1, 1, 4, 5).requires_grad_()
    torch.library.opcheck(KERNELS.scaled_bias_act.default, (x, scale, noise, bias, *settings))
    torch.library.opcheck(KERNELS.scaled_bias_act.default, (x, scale, None, None, *settings))
    affine = [tensor.detach() for tensor in (x, scale, noise, bias)]
    for wanted in ([True] * 4, [True, False, True, False], [False, True, False, True]):
        torch.library.opcheck(KERNELS.scaled_bias_act_backward.default, (grad, *affine, *settings, *wanted))
    torch.library.opcheck(KERNELS.instance_norm_act.default, (x, bias, bias, act, 0.2, 1e-5))
    arguments = (grad, x, statistics, statistics, bias, None, act, 0.2, 1e-5)
    torch.library.opcheck(KERNELS.instance_norm_act_backward.default, arguments)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_opcheck_of_layers_without_activation(layout, generator) -> None:
    def make(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    x = VIEWS[layout](make, 2, 3, 4, 5).requires_grad_()
    grad = torch.randn_like(x)
    wider = torch.cat([grad, x.detach()], dim=1).requires_grad_()
    for neighbours in (False, True):
        torch.library.opcheck(KERNELS.minibatch_stddev.default, (x, 2, 3, neighbours))
        torch.library.opcheck(KERNELS.minibatch_stddev_backward.default, (wider, x, 2, 3, neighbours))
    torch.library.opcheck(KERNELS.glu.default, (wider,))
    torch.library.opcheck(KERNELS.glu_backward.default, (grad, wider))
    torch.library.opcheck(KERNELS.pixel_norm.default, (x, 1e-2))
    torch.library.opcheck(KERNELS.pixel_norm_backward.default, (grad, x, 1e-2))
    torch.library.opcheck(KERNELS.upfirdn2d.default, (x, TAPS.float(), [2, 1], [1, 2], [3, 2, 1, 2], 2.0, False))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "shape", [(2, 3, 4, 5), (2, 1, 3, 4), (1, 3, 1, 4), (2, 5, 4, 1), (2, 4, 1, 1), (1, 1, 1, 1), (0, 3, 4, 5)]
)
def test_results_have_the_layout_that_was_registered(view, shape) -> None:
    """torch.compile lays out memory by the registered shapes, and reads it so."""

    def layouts(x: Tensor) -> list[tuple[int, ...]]:
        settings = ("swish", 0.2, 1.0, None)
        values = torch.ones(x.shape[1], device=x.device)
        statistics = torch.ones(x.shape[:2], device=x.device)
        results = [
            KERNELS.bias_act(x, None, *settings),
            KERNELS.bias_act_backward(torch.ones_like(x), x, None, *settings, True)[0],
            KERNELS.scaled_bias_act(x, statistics, None, values, *settings),
            KERNELS.scaled_bias_act_backward(torch.ones_like(x), x, None, None, None, *settings, *[True] * 4)[0],
            KERNELS.instance_norm_act(x, values, None, "relu", 0.2, 1e-5)[0],
            KERNELS.instance_norm_act_backward(x, x, statistics, statistics, None, None, "relu", 0.2, 1e-5)[0],
            y := KERNELS.minibatch_stddev(x, 1, 1, False),
            KERNELS.minibatch_stddev_backward(y, x, 1, 1, False),
            KERNELS.pixel_norm(x, 1e-8),
            KERNELS.pixel_norm_backward(x, x, 1e-8),
            KERNELS.upfirdn2d(x, values.new_ones(2), [2, 2], [1, 1], [1, 1, 1, 1], 1.0, False),
        ]
        return [result.stride() for result in results]

    x = VIEWS[view](torch.ones, *shape)
    meta = torch.empty_strided(x.shape, x.stride(), device="meta")
    assert layouts(x) == layouts(meta)


def test_the_environment_chooses_the_instruction_set() -> None:
    code = "import torch; from ganart_zoo import ops; print(torch.ops.ganart.use_cpu_isa(''))"
    environment = {**os.environ, "GANART_CPU_ISA": LEVELS[0]}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == LEVELS[0] != LEVELS[-1]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: KERNELS.bias_act(torch.ones(3), None, "relu", 0.2, 1.0, None), ["bias_act: x", "[3]", "[N, C, ...]"]),
        (lambda: KERNELS.bias_act(torch.ones(2, 3).half(), None, "relu", 0.2, 1.0, None), ["Half", "Float, BFloat16"]),
        (lambda: KERNELS.bias_act(torch.ones(2, 3), torch.ones(2), "relu", 0.2, 1.0, None), ["bias", "[2]", "[3]"]),
        (lambda: KERNELS.bias_act(torch.ones(2, 3), None, "gelu", 0.2, 1.0, None), ["act is 'gelu'", "swish"]),
        (
            lambda: KERNELS.bias_act_backward(torch.ones(3, 2), torch.ones(2, 3), None, "relu", 0.2, 1.0, None, True),
            ["grad", "[3, 2]", "[2, 3]"],
        ),
        (
            lambda: KERNELS.scaled_bias_act(torch.ones(2, 3, 4, 4), torch.ones(3), None, None, "relu", 0.2, 1.0, None),
            ["scaled_bias_act: scale", "[3]", "[N, C]"],
        ),
        (
            lambda: KERNELS.scaled_bias_act(
                torch.ones(2, 3, 4, 5), None, torch.ones(2, 1, 5, 4), None, "relu", 0.2, 1.0, None
            ),
            ["scaled_bias_act: noise", "[2, 1, 5, 4]", "[2, 3, 4, 5]"],
        ),
        (
            lambda: KERNELS.instance_norm_act(torch.ones(2, 3, 4, 4), torch.ones(3).double(), None, "relu", 0.2, 1e-5),
            ["weight", "Double", "Float"],
        ),
        (lambda: KERNELS.minibatch_stddev(torch.ones(6, 2), 2, 1, False), ["x", "[6, 2]", "[N, C, H, W]"]),
        (lambda: KERNELS.minibatch_stddev(torch.ones(6, 2, 1, 1), 4, 1, False), ["group_size is 4", "batch 6"]),
        (lambda: KERNELS.minibatch_stddev(torch.ones(6, 2, 1, 1), 3, 0, False), ["num_channels is 0", "2 channels"]),
        (
            lambda: KERNELS.minibatch_stddev_backward(torch.ones(2, 3, 1, 1), torch.ones(2, 3, 1, 1), 2, 1, False),
            ["grad", "[2, 3, 1, 1]", "appended channels"],
        ),
        (lambda: KERNELS.pixel_norm(torch.ones(3), 1e-8), ["pixel_norm: x", "[3]", "[N, C, ...]"]),
        (lambda: KERNELS.pixel_norm_backward(torch.ones(3, 2), torch.ones(2, 3), 1e-8), ["grad", "[3, 2]", "[2, 3]"]),
        (
            lambda: KERNELS.instance_norm_act(torch.ones(2, 3), None, None, "relu", 0.2, 1e-5),
            ["x has shape [2, 3]", "[N, C, H, W]"],
        ),
        *(
            (
                lambda which=which: KERNELS.instance_norm_act_backward(
                    *[torch.ones(2, 3, 4, 4)] * 2,
                    *(torch.ones(3) if name == which else torch.ones(2, 3) for name in ("mean", "scale")),
                    *(None, None, "relu", 0.2, 1e-5),
                ),
                [f"{which} has shape [3]", "[N, C]", "[2, 3, 4, 4]"],
            )
            for which in ("mean", "scale")
        ),
        (
            lambda: KERNELS.upfirdn2d(torch.ones(1, 1, 4, 4), torch.ones(5), [1, 1], [1, 1], [0] * 4, 1.0, False),
            ["[1, 1, 4, 4]", "5 x 5 taps"],
        ),
        (
            lambda: KERNELS.upfirdn2d(torch.ones(1, 1, 4, 4), torch.ones(2), [0, 1], [1, 1], [0] * 4, 1.0, False),
            ["up and down must be 1 or more"],
        ),
    ],
)
def test_misuse_of_the_raw_ops_is_refused(call, named) -> None:
    with pytest.raises(RuntimeError) as caught:
        call()
    assert all(name in str(caught.value) for name in named)
