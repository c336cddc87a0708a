"""The CUDA kernels of the fused layers, run thread by thread on the CPU, against formulas in float64 and SciPy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from scipy import signal, special

from .emulated_layers import ACTIVATIONS, Affine, EmulatedLayers, Groups, Layer
from .emulation import Features, build

TYPES = ("float32", "bfloat16", "float16", "float64")
# Relative to the largest value: one rounding to 8 or 11 bits, float32 arithmetic, and float64's own.
TOLERANCE = {"float32": 2e-6, "bfloat16": 4.2e-3, "float16": 5.2e-4, "float64": 1e-13}
SUM_TOLERANCE = {"float32": 3e-6, "bfloat16": 3e-6, "float16": 3e-6, "float64": 1e-12}

# One pixel, a prime number of them, less than a run, several blocks of runs; channels 1, 3, prime, whole runs and not.
SHAPES = ((2, 3, 1), (1, 1, 7), (3, 7, 64), (2, 13, 35), (1, 16, 1100), (2, 40, 9), (1, 264, 24))
LAYOUTS = ({}, {"offset": 1}, {"padding": 8}, {"offset": 3, "padding": 5})

FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "lrelu": lambda z: np.where(z > 0, z, 0.2 * z),
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0))),
    "softplus": lambda z: np.logaddexp(z, 0),
    "swish": lambda z: z * special.expit(z),
}
SLOPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": np.ones_like,
    "relu": lambda z: (z > 0) * 1.0,
    "lrelu": lambda z: np.where(z > 0, 1, 0.2),
    "tanh": lambda z: 1 - np.tanh(z) ** 2,
    "sigmoid": lambda z: special.expit(z) * special.expit(-z),
    "elu": lambda z: np.where(z > 0, 1, np.exp(np.minimum(z, 0))),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, 1, 1.6732632423543772 * np.exp(np.minimum(z, 0))),
    "softplus": special.expit,
    "swish": lambda z: special.expit(z) * (1 + z * special.expit(-z)),
}
KEEPS_X = {"elu", "selu", "softplus", "swish"}


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> EmulatedLayers:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("the emulator needs g++")
    kernels = EmulatedLayers(build(tmp_path_factory, compiler, "layers"))
    kernels.run_as(last_thread_first=False, copies_land_at_once=False)
    return kernels


def draw(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert found.shape == expected.shape
    largest = max(np.abs(expected).max(initial=0), 1.0)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * largest)


def per_channel(values: np.ndarray) -> np.ndarray:
    return values[None, :, None] if values.ndim == 1 else values[:, :, None]


# --- bias_act


def expected_bias_act(x: np.ndarray, bias: np.ndarray | None, layer: Layer) -> np.ndarray:
    z = x if bias is None else x + per_channel(bias)
    y = FUNCTIONS[layer.act](z) * layer.gain
    return y if layer.clamp is None else np.clip(y, -layer.clamp, layer.clamp)


def expected_bias_act_gradient(z: np.ndarray, layer: Layer) -> np.ndarray:
    slope = SLOPES[layer.act](z) * layer.gain
    if layer.clamp is None:
        return slope
    return np.where(np.abs(FUNCTIONS[layer.act](z) * layer.gain) < layer.clamp, slope, 0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", TYPES)
def test_bias_act_and_its_gradient_follow_the_formula(
    kernels: EmulatedLayers, type_: str, channels_last: bool, shape: tuple[int, int, int]
) -> None:
    layer = Layer("lrelu", gain=1.5, clamp=2.0)
    bias = draw(shape[1:2], seed=1).astype(np.float32)
    for layout in LAYOUTS:
        x = kernels.features(draw(shape), type_, channels_last=channels_last, **layout)
        y = expected_bias_act(x.values, bias, layer)
        assert_close(kernels.bias_act(x, bias, layer), y, TOLERANCE[type_])

        kept = kernels.features(y, type_, channels_last=channels_last, **layout)
        grad = kernels.features(draw(shape, seed=2), type_, channels_last=channels_last)
        slopes = np.where(kept.values > 0, 1, 0.2) * 1.5 * (np.abs(kept.values) < 2)
        for sum_bias in (False, True):
            grad_x, grad_bias = kernels.bias_act_backward(grad, kept, None, layer, sum_bias=sum_bias)
            assert_close(grad_x, grad.values * slopes, TOLERANCE[type_])
            if grad_bias is not None:
                assert_close(grad_bias, (grad.values * slopes).sum((0, 2)), SUM_TOLERANCE[type_])


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("type_", TYPES)
def test_every_activation_of_bias_act(kernels: EmulatedLayers, type_: str, act: str) -> None:
    values = np.concatenate([draw((1, 3, 40)) * 3, np.array([[[-120.0, -20, 0, 20, 120]] * 3])], axis=2)
    bias = np.array([0.5, -0.25, 0.0])
    for channels_last, layer in product([False, True], [Layer(act), Layer(act, gain=1.25, clamp=0.5)]):
        x = kernels.features(values, type_, channels_last=channels_last)
        z = x.values + per_channel(bias)
        y = expected_bias_act(x.values, bias, layer)
        assert_close(kernels.bias_act(x, bias, layer), y, TOLERANCE[type_])

        kept = x if act in KEEPS_X else kernels.features(y, type_, channels_last=channels_last)
        grad = kernels.features(draw(values.shape, seed=2), type_, channels_last=channels_last)
        # A result that was rounded has not quite the same slope; where it saturates, none.
        slack = 4 * TOLERANCE[type_] if act not in KEEPS_X else TOLERANCE[type_]
        expected = grad.values * expected_bias_act_gradient(z, layer)
        for sum_bias in (False, True):
            grad_x, grad_bias = kernels.bias_act_backward(
                grad, kept, bias if act in KEEPS_X else None, layer, sum_bias=sum_bias
            )
            assert_close(grad_x, expected, slack)
            if grad_bias is not None:
                assert_close(grad_bias, expected.sum((0, 2)), 4 * slack)


@pytest.mark.parametrize("channels_last", [False, True])
def test_long_lines_and_many_of_them_are_summed_whole(kernels: EmulatedLayers, channels_last: bool) -> None:
    layer = Layer("linear", clamp=9.0)
    for shape in ((2, 3, 4100), (1, 520, 40)):
        grad = kernels.features(draw(shape), "float32", channels_last=channels_last)
        kept = kernels.features(np.zeros(shape), "float32", channels_last=channels_last)
        _, grad_bias = kernels.bias_act_backward(grad, kept, None, layer, sum_bias=True)
        assert grad_bias is not None
        assert_close(grad_bias, grad.values.sum((0, 2)), 1e-6)


@pytest.mark.parametrize("type_", TYPES)
def test_bias_act_keeps_bad_numbers(kernels: EmulatedLayers, type_: str) -> None:
    values = np.array([[[np.nan, np.inf, -np.inf, 1.0]]])
    x = kernels.features(values, type_)
    for act in ACTIVATIONS:
        y = kernels.bias_act(x, None, Layer(act))
        assert np.isnan(y[0, 0, 0]), act
        assert not np.isnan(y[0, 0, 1]), act
        assert not np.isnan(y[0, 0, 3]), act
    assert kernels.bias_act(x, None, Layer("relu"))[0, 0, 2] == 0
    clamped = kernels.bias_act(x, None, Layer("linear", clamp=0.5))[0, 0]
    np.testing.assert_array_equal(clamped, [np.nan, 0.5, -0.5, 0.5])


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 64, 641, 2**16 + 1, 2**31 - 1, 2**31, 2**40 + 15])
def test_indices_are_divided_exactly(kernels: EmulatedLayers, divisor: int) -> None:
    near = {max(times * divisor + offset, 0) for times in (0, 1, 2, 12345, 2**30 // divisor) for offset in (-1, 0, 1)}
    for index in near | {2**31 - 1, 2**31, 2**32 + 1, 2**62 + 12345, 2**63 - 1}:
        assert kernels.divides(divisor, index), (divisor, index)


# --- scaled_bias_act


def check_scaled_bias_act(
    kernels: EmulatedLayers, x: Features, affine: Affine, layer: Layer, grad: Features, wanted: str
) -> None:
    scale = 1.0 if affine.scale is None else per_channel(affine.scale)
    noise = 0.0 if affine.noise is None else affine.noise[:, None]
    bias = 0.0 if affine.bias is None else per_channel(affine.bias)
    z = x.values * scale + noise + bias
    y = FUNCTIONS[layer.act](z) * layer.gain
    if layer.clamp is not None:
        y = np.clip(y, -layer.clamp, layer.clamp)
    assert_close(kernels.scaled_bias_act(x, affine, layer), y, TOLERANCE[x.type])

    grad_z = grad.values * expected_bias_act_gradient(z, layer)
    products = grad_z * x.values
    expected = {"scale": products.sum(2), "noise": grad_z.sum(1), "bias": grad_z.sum((0, 2)), "x": grad_z * scale}
    found = kernels.scaled_bias_act_backward(grad, x, affine, layer, wanted)
    assert sorted(found) == sorted(wanted.split())
    for name, gradient in found.items():
        assert_close(gradient, expected[name], 2 * (TOLERANCE if name == "x" else SUM_TOLERANCE)[x.type])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", TYPES)
def test_scaled_bias_act_and_its_gradients_follow_the_formula(
    kernels: EmulatedLayers, type_: str, channels_last: bool, shape: tuple[int, int, int]
) -> None:
    samples, channels, pixels = shape
    terms = ((samples, channels), (samples, pixels), (channels,))
    affine = Affine(*(draw(size, seed=seed).astype(np.float32) for seed, size in enumerate(terms, 1)))
    layer = Layer("lrelu", gain=1.5, clamp=2.0)
    for layout in LAYOUTS:
        x = kernels.features(draw(shape), type_, channels_last=channels_last, **layout)
        grad = kernels.features(draw(shape, seed=4), type_, channels_last=channels_last)
        for some, wanted in (
            (affine, "x scale noise bias"),
            (Affine(scale=affine.scale), "x scale"),
            (Affine(noise=draw((1, pixels), seed=5)), "noise"),
            (affine, "x bias"),
        ):
            check_scaled_bias_act(kernels, x, some, layer, grad, wanted)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("type_", TYPES)
def test_every_activation_of_scaled_bias_act(kernels: EmulatedLayers, type_: str, act: str) -> None:
    affine = Affine(draw((2, 3), seed=1), draw((1, 40), seed=2), draw((3,), seed=3))
    for channels_last, layer in product([False, True], [Layer(act), Layer(act, gain=1.25, clamp=0.5)]):
        x = kernels.features(draw((2, 3, 40)), type_, channels_last=channels_last)
        grad = kernels.features(draw((2, 3, 40), seed=4), type_, channels_last=channels_last)
        check_scaled_bias_act(kernels, x, affine, layer, grad, "x scale noise bias")


@pytest.mark.parametrize("channels_last", [False, True])
def test_scaled_bias_act_joins_its_sums(kernels: EmulatedLayers, channels_last: bool) -> None:
    """Of more channels than a part has, and more pixels than a piece has."""
    for shape in ((2, 3, 4100), (1, 520, 130)):
        affine = Affine(draw(shape[:2], seed=1), draw((shape[0], shape[2]), seed=2), draw(shape[1:2], seed=3))
        x = kernels.features(draw(shape), "float32", channels_last=channels_last)
        grad = kernels.features(draw(shape, seed=4), "float32", channels_last=channels_last)
        check_scaled_bias_act(kernels, x, affine, Layer("swish"), grad, "x scale noise bias")


# --- instance_norm_act


class Norm:
    """The formula and its gradient in float64."""

    def __init__(self, x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, act: str, eps: float) -> None:
        samples, channels, self.pixels = x.shape
        ones = np.ones((samples, channels))
        self.weight = (ones if weight is None else ones * weight)[:, :, None]
        self.bias = (0 * ones if bias is None else ones * bias)[:, :, None]
        self.act = act
        self.mean = x.mean(2)
        self.scale = 1 / np.sqrt(x.var(2) + eps)
        self.normal = (x - self.mean[:, :, None]) * self.scale[:, :, None]
        self.z = self.normal * self.weight + self.bias
        self.y = FUNCTIONS[act](self.z)

    def gradient(self, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inner = grad * SLOPES[self.act](self.z)
        grad_bias, grad_weight = inner.sum(2), (inner * self.normal).sum(2)
        rest = (grad_bias[:, :, None] + self.normal * grad_weight[:, :, None]) / self.pixels
        return self.weight * self.scale[:, :, None] * (inner - rest), grad_weight, grad_bias


def check_norm(
    kernels: EmulatedLayers,
    x: Features,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
    act: str,
    grad: Features,
    *,
    slack: float = 1,
) -> None:
    layer, eps, type_ = Layer(act), 1e-2, x.type
    expected = Norm(x.values, weight, bias, act, eps)
    y, mean, scale = kernels.instance_norm_act(x, weight, bias, layer, eps)
    assert_close(y, expected.y, slack * TOLERANCE[type_])
    assert_close(mean, expected.mean, slack * SUM_TOLERANCE[type_])
    assert_close(scale, expected.scale, slack * SUM_TOLERANCE[type_])
    found = kernels.instance_norm_act_backward(grad, x, mean, scale, weight, bias, layer)
    grad_x, grad_weight, grad_bias = expected.gradient(grad.values)
    assert_close(found[0], grad_x, 2 * slack * TOLERANCE[type_])
    assert_close(found[1], grad_weight, 3 * slack * SUM_TOLERANCE[type_])
    assert_close(found[2], grad_bias, 3 * slack * SUM_TOLERANCE[type_])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", TYPES)
def test_instance_norm_and_its_gradient_follow_the_formula(
    kernels: EmulatedLayers, type_: str, channels_last: bool, shape: tuple[int, int, int]
) -> None:
    weight, bias = draw(shape[:2], seed=1).astype(np.float32), draw(shape[1:2], seed=2).astype(np.float32)
    for layout in LAYOUTS:
        x = kernels.features(draw(shape) + 0.5, type_, channels_last=channels_last, **layout)
        grad = kernels.features(draw(shape, seed=3), type_, channels_last=channels_last)
        check_norm(kernels, x, weight, bias, "tanh", grad)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("type_", TYPES)
def test_every_activation_of_instance_norm(kernels: EmulatedLayers, type_: str, act: str) -> None:
    for channels_last in (False, True):
        x = kernels.features(draw((2, 3, 40)), type_, channels_last=channels_last)
        grad = kernels.features(draw((2, 3, 40), seed=3), type_, channels_last=channels_last)
        check_norm(kernels, x, None, None, act, grad)


@pytest.mark.parametrize("pixels", [20000, 40001])
@pytest.mark.parametrize("type_", ["float32", "bfloat16"])
def test_long_lines_are_normalised_in_parts(kernels: EmulatedLayers, type_: str, pixels: int) -> None:
    values = draw((1, 1, pixels)) + np.linspace(0, 5, pixels)  # the beginning has another mean than the whole
    x, grad = kernels.features(values, type_), kernels.features(draw((1, 1, pixels), seed=3), type_)
    check_norm(kernels, x, np.array([2.0]), None, "linear", grad, slack=2)


def test_many_long_lines_are_read_again_by_their_blocks(kernels: EmulatedLayers) -> None:
    """Lines longer than what a block keeps, forward and backward."""
    lines, pixels = 264, 20000
    values = np.repeat(draw((1, pixels)) + np.linspace(0, 5, pixels), lines, axis=0)[None]
    grads = np.repeat(draw((1, pixels), seed=3), lines, axis=0)[None]
    x, grad = kernels.features(values, "float32"), kernels.features(grads, "float32")
    with kernels.each(lines - 1):
        y, mean, scale = kernels.instance_norm_act(x, None, None, Layer("lrelu"), 1e-2)
        found = kernels.instance_norm_act_backward(grad, x, mean, scale, None, None, Layer("lrelu"))
    ends = slice(None, None, lines - 1)
    expected = Norm(x.values[:, ends], None, None, "lrelu", 1e-2)
    assert_close(y[:, ends], expected.y, 4e-6)
    for one, exact in zip(found, expected.gradient(grad.values[:, ends]), strict=True):
        assert_close(one[:, ends], exact, 1e-5)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_large_mean_costs_no_digits(kernels: EmulatedLayers, channels_last: bool) -> None:
    x = kernels.features(draw((2, 5, 900)) + 1000, "float32", channels_last=channels_last)
    y, _, _ = kernels.instance_norm_act(x, None, None, Layer(), 1e-5)
    expected = Norm(x.values, None, None, "linear", 1e-5)
    assert np.abs(y - expected.y).max() < 2e-4  # of a mean rounded to float32, 6e-5


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", TYPES)
def test_instance_norm_loses_no_nan_and_spreads_none(kernels: EmulatedLayers, type_: str, channels_last: bool) -> None:
    values = draw((2, 3, 70))
    values[1, 2, 69] = np.nan
    x = kernels.features(values, type_, channels_last=channels_last)
    y, mean, scale = kernels.instance_norm_act(x, None, None, Layer("lrelu"), 1e-5)
    poisoned = np.zeros((2, 3), bool)
    poisoned[1, 2] = True
    np.testing.assert_array_equal(np.isnan(y), np.repeat(poisoned[:, :, None], 70, axis=2))
    np.testing.assert_array_equal(np.isnan(mean), poisoned)
    np.testing.assert_array_equal(np.isnan(scale), poisoned)


# --- pixel_norm


def check_pixel_norm(kernels: EmulatedLayers, x: Features, grad: Features, eps: float = 1e-2) -> None:
    tolerance = TOLERANCE[x.type]
    scale = 1 / np.sqrt((x.values**2).mean(1, keepdims=True) + eps)
    assert_close(kernels.pixel_norm(x, eps), x.values * scale, tolerance)
    product = (grad.values * x.values).mean(1, keepdims=True)
    assert_close(
        kernels.pixel_norm_backward(grad, x, eps), scale * grad.values - scale**3 * product * x.values, tolerance
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", TYPES)
def test_pixel_norm_and_its_gradient_follow_the_formula(
    kernels: EmulatedLayers, type_: str, channels_last: bool, shape: tuple[int, int, int]
) -> None:
    for layout in LAYOUTS:
        x = kernels.features(draw(shape), type_, channels_last=channels_last, **layout)
        grad = kernels.features(draw(shape, seed=3), type_, channels_last=channels_last)
        check_pixel_norm(kernels, x, grad)


@pytest.mark.parametrize("type_", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("shape", "channels_last"),
    [((1, 700, 40), False), ((1, 3000, 5), False), ((1, 5000, 2), True), ((1, 24000, 1), True)],
)
def test_pixels_of_many_channels(
    kernels: EmulatedLayers, type_: str, shape: tuple[int, int, int], channels_last: bool
) -> None:
    """That take fewer pixels a block, a block a pixel, or more than shared memory holds."""
    x = kernels.features(draw(shape), type_, channels_last=channels_last)
    check_pixel_norm(kernels, x, kernels.features(draw(shape, seed=3), type_, channels_last=channels_last))


# --- minibatch_stddev


def sample_groups(samples: int, size: int, runs: int, *, neighbours: bool) -> Groups:
    count = samples // size
    return Groups(size, count, 1, size, runs) if neighbours else Groups(size, count, count, 1, runs)


def expected_stddev(x: np.ndarray, grad: np.ndarray, groups: Groups) -> tuple[np.ndarray, np.ndarray]:
    samples, channels, pixels = x.shape
    appended, grad_x = np.empty((samples, groups.runs, pixels)), grad[:, :channels].copy()
    for group, run in product(range(groups.count), range(groups.runs)):
        members = group * groups.group_step + np.arange(groups.size) * groups.member_step
        own = np.ix_(members, run * (channels // groups.runs) + np.arange(channels // groups.runs))
        offset = x[own] - x[own].mean(0)
        deviation = np.sqrt((offset**2).mean(0) + 1e-8)
        appended[members, run] = deviation.mean()
        grad_x[own] += grad[members, channels + run].sum() / offset.size * offset / deviation
    return np.concatenate([x, appended], axis=1), grad_x


@pytest.mark.parametrize("shape", [(4, 6, 7), (6, 3, 1), (2, 16, 64), (8, 8, 1100), (70, 4, 3)], ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", TYPES)
def test_minibatch_stddev_and_its_gradient_follow_the_formula(
    kernels: EmulatedLayers, type_: str, channels_last: bool, shape: tuple[int, int, int]
) -> None:
    samples, channels, pixels = shape
    size = {70: 35, 8: 4}.get(samples, 2)
    layouts = LAYOUTS if pixels < 1000 else LAYOUTS[:1]
    for layout, runs, neighbours in product(layouts, {1, 2 - channels % 2, channels}, [False, True]):
        groups = sample_groups(samples, size, runs, neighbours=neighbours)
        x = kernels.features(draw(shape), type_, channels_last=channels_last, **layout)
        grad = kernels.features(
            draw((samples, channels + runs, pixels), 3), type_, channels_last=channels_last, **layout
        )
        y, grad_x = expected_stddev(x.values, grad.values, groups)
        found = kernels.minibatch_stddev(x, groups)
        np.testing.assert_array_equal(found[:, :channels], x.values)
        assert_close(found, y, TOLERANCE[type_])
        assert_close(kernels.minibatch_stddev_backward(grad, x, groups), grad_x, TOLERANCE[type_])


@pytest.mark.parametrize("type_", TYPES)
def test_norms_over_channels_and_samples_lose_no_nan_and_spread_none(kernels: EmulatedLayers, type_: str) -> None:
    values = draw((4, 3, 70))
    values[1, 2, 69] = np.nan
    for channels_last in (False, True):
        x = kernels.features(values, type_, channels_last=channels_last)
        touched = np.zeros(values.shape, bool)
        touched[1, :, 69] = True
        np.testing.assert_array_equal(np.isnan(kernels.pixel_norm(x, 1e-8)), touched)
        y = kernels.minibatch_stddev(x, sample_groups(4, 2, 3, neighbours=False))
        np.testing.assert_array_equal(np.isnan(y[:, :3]), np.isnan(values))
        np.testing.assert_array_equal(np.isnan(y[:, 3:, 0]), np.array([[0, 0, 0], [0, 0, 1]] * 2, bool))


# --- upfirdn2d


def expected_upfirdn2d(
    x: np.ndarray,
    taps: np.ndarray,
    up: tuple[int, int],
    down: tuple[int, int],
    padding: tuple[int, int, int, int],
    gain: float,
    flip: bool,
) -> np.ndarray:
    """Follow the definition step by step: zeros in, pad or crop, convolve, decimate."""
    samples, channels, height, width = x.shape
    wide = np.zeros((samples, channels, height * up[1], width * up[0]))
    wide[:, :, :: up[1], :: up[0]] = x
    x0, x1, y0, y1 = padding
    wide = np.pad(wide, [(0, 0), (0, 0), (max(y0, 0), max(y1, 0)), (max(x0, 0), max(x1, 0))])
    wide = wide[:, :, max(-y0, 0) : wide.shape[2] - max(-y1, 0), max(-x0, 0) : wide.shape[3] - max(-x1, 0)]
    kernel = np.outer(taps, taps) if taps.ndim == 1 else taps
    kernel = kernel[::-1, ::-1] if flip else kernel
    y = signal.convolve(wide, kernel[None, None], mode="valid", method="direct")
    return y[:, :, :: down[1], :: down[0]] * gain


RESAMPLINGS = (  # up, down, padding, number of taps
    ((1, 1), (1, 1), (2, 1, 2, 1), 4),
    ((1, 1), (1, 1), (1, 2, 0, 3), 4),
    ((2, 2), (1, 1), (2, 1, 2, 1), 4),
    ((2, 2), (1, 1), (3, 1, 1, 2), 4),
    ((1, 1), (2, 2), (1, 1, 1, 1), 4),
    ((1, 1), (2, 2), (-1, 3, 4, -2), 4),
    ((1, 1), (1, 1), (3, 3, 3, 3), 4),
    ((1, 1), (1, 1), (0, 0, 0, 0), 1),
    ((3, 2), (1, 3), (5, -2, 0, 4), 5),
    ((4, 4), (2, 2), (9, 8, 7, 9), 12),
    ((2, 1), (1, 2), (2, 2, 2, 2), 4),
)


@pytest.mark.parametrize("resampling", RESAMPLINGS, ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", TYPES)
def test_upfirdn2d_follows_its_definition(
    kernels: EmulatedLayers,
    type_: str,
    channels_last: bool,
    resampling: tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int], int],
) -> None:
    up, down, padding, count = resampling
    taps = draw((count,), seed=1).astype(np.float32)
    for (height, width, channels), flip in ((8, 12, 8), True), ((7, 9, 3), False):
        values = draw((2, channels, height * width))
        for offset in (0, 1):
            x = kernels.features(values, type_, channels_last=channels_last, offset=offset)
            found = kernels.upfirdn2d(x, (height, width), taps, up=up, down=down, padding=padding, gain=1.5, flip=flip)
            pictures = x.values.reshape(2, channels, height, width)
            expected = expected_upfirdn2d(pictures, taps.astype(np.float64), up, down, padding, 1.5, flip)
            assert_close(found, expected, TOLERANCE[type_])


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_upfirdn2d_joins_its_tiles(kernels: EmulatedLayers, channels_last: bool, up: int, down: int) -> None:
    """More than one tile each way, and more channels than a block takes."""
    height, width, channels = (21, 19, 37) if channels_last else (70, 133, 2)
    x = kernels.features(draw((1, channels, height * width)), "float32", channels_last=channels_last)
    taps = np.array([1.0, 3.0, 3.0, 1.0]) / 8
    padding = (2, 1, 3, 0)
    found = kernels.upfirdn2d(x, (height, width), taps, up=(up, up), down=(down, down), padding=padding)
    pictures = x.values.reshape(1, channels, height, width)
    expected = expected_upfirdn2d(pictures, taps, (up, up), (down, down), padding, 1, False)
    assert_close(found, expected, TOLERANCE["float32"])


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", TYPES)
def test_upfirdn2d_by_a_matrix_of_taps(kernels: EmulatedLayers, type_: str, channels_last: bool) -> None:
    x = kernels.features(draw((2, 3, 42)), type_, channels_last=channels_last)
    taps = draw((3, 4), seed=1).astype(np.float32)
    arguments = ((2, 1), (1, 2), (1, -1, 2, 3))
    up, down, padding = arguments
    found = kernels.upfirdn2d(x, (6, 7), taps, up=up, down=down, padding=padding, gain=0.5)
    expected = expected_upfirdn2d(x.values.reshape(2, 3, 6, 7), taps.astype(np.float64), *arguments, 0.5, False)
    assert_close(found, expected, TOLERANCE[type_])


def test_upfirdn2d_by_more_taps_than_shared_memory_holds(kernels: EmulatedLayers) -> None:
    count = 8000
    x = kernels.features(draw((1, 1, 4)), "float32")
    taps = draw((count,), seed=1).astype(np.float32)
    found = kernels.upfirdn2d(x, (2, 2), taps, padding=(count - 1, 0, count - 1, 0), down=(3, 2))
    expected = np.einsum("nchw,h,w->nc", x.values.reshape(1, 1, 2, 2)[:, :, :1, :1], taps[:1], taps[:1])
    assert_close(found[:, :, 0, 0], expected, 1e-6)


@pytest.mark.parametrize("type_", ["float32", "bfloat16"])
def test_upfirdn2d_reads_a_crop_where_it_lies(kernels: EmulatedLayers, type_: str) -> None:
    whole = kernels.features(draw((1, 2, 12 * 20)), type_)
    pictures = whole.values.reshape(1, 2, 12, 20)
    taps = np.array([0.25, 0.5, 0.25])
    for row, column, height, width in ((3, 4, 8, 12), (2, 5, 7, 11)):
        view = type(whole.view)(*(getattr(whole.view, name) for name, _ in whole.view._fields_))
        view.data += (row * 20 + column) * {"float32": 4, "bfloat16": 2}[type_]
        view.pixels = height * width
        crop = pictures[:, :, row : row + height, column : column + width]
        x = Features(crop.reshape(1, 2, -1), type_, False, view)
        found = kernels.upfirdn2d(x, (height, width), taps, padding=(1, 1, 1, 1), row_stride=20)
        expected = expected_upfirdn2d(crop, taps, (1, 1), (1, 1), (1, 1, 1, 1), 1, False)
        assert_close(found, expected, TOLERANCE[type_])


# --- all


@pytest.mark.parametrize("shape", SHAPES[::2], ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", TYPES)
def test_counting_in_64_bits_changes_nothing(
    kernels: EmulatedLayers, type_: str, channels_last: bool, shape: tuple[int, int, int]
) -> None:
    bias, layer = draw(shape[1:2], seed=1), Layer("swish", clamp=2.0)
    for layout in LAYOUTS:
        x = kernels.features(draw(shape), type_, channels_last=channels_last, **layout)
        grad = kernels.features(draw(shape, seed=2), type_, channels_last=channels_last)

        def results(x: Features = x, grad: Features = grad) -> list[np.ndarray]:
            y, mean, scale = kernels.instance_norm_act(x, bias, bias, layer, 1e-2)
            gradients = kernels.instance_norm_act_backward(grad, x, mean, scale, bias, bias, layer)
            layered, _ = kernels.bias_act_backward(grad, x, bias, layer, sum_bias=False)
            return [kernels.bias_act(x, bias, layer), layered, y, mean, scale, *gradients]

        narrow = results()
        with kernels.wide_indices():
            wide = results()
        for found, expected in zip(wide, narrow, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", ["float32", "bfloat16"])
def test_no_order_of_threads_or_copies_changes_a_bit(kernels: EmulatedLayers, type_: str, channels_last: bool) -> None:
    shape = (1, 24, 1100)
    x = kernels.features(draw(shape), type_, channels_last=channels_last)
    grad = kernels.features(draw(shape, seed=1), type_, channels_last=channels_last)
    bias, layer = draw(shape[1:2], seed=2), Layer("swish")
    results = []
    for last_first, at_once in product([False, True], repeat=2):
        kernels.run_as(last_thread_first=last_first, copies_land_at_once=at_once)
        y, mean, scale = kernels.instance_norm_act(x, bias, bias, layer, 1e-5)
        gradients = kernels.instance_norm_act_backward(grad, x, mean, scale, bias, bias, layer)
        layered = kernels.bias_act_backward(grad, x, bias, layer, sum_bias=True)
        affine = Affine(bias[None], x.values[0, :1], bias)
        ends = kernels.scaled_bias_act_backward(grad, x, affine, layer, "x scale noise bias")
        resampled = kernels.upfirdn2d(x, (44, 25), np.ones(4), up=(2, 2), padding=(2, 1, 2, 1))
        pixels = (kernels.pixel_norm(x, 1e-8), kernels.pixel_norm_backward(grad, x, 1e-8))
        results.append((y, mean, scale, *gradients, *layered, *ends.values(), resampled, *pixels))
    kernels.run_as(last_thread_first=False, copies_land_at_once=False)
    for other in results[1:]:
        for found, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(found, expected)
