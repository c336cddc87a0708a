"""The CUDA kernels of the style loss, run thread by thread on the CPU, against the formula in float64."""

from __future__ import annotations

import shutil
from itertools import product

import numpy as np
import pytest

from .emulation import EmulatedStyleLoss, Features, build

TF32 = "float32 as TF32"
TYPES = ("float32", TF32, "bfloat16", "float16")
# Relative, of the whole matrix: float32 sums of exact products; TF32 rounds factors to 11 bits.
GRAM_TOLERANCE = {"float32": 2e-6, TF32: 5e-4, "bfloat16": 2e-6, "float16": 2e-6}
# Weights and the gradient itself are rounded: to 8 bits for bfloat16, 11 for float16; factors to 11 for TF32.
GRADIENT_TOLERANCE = {"float32": 2e-6, TF32: 5e-4, "bfloat16": 4e-3, "float16": 5e-4}

# Each tile (32, 64, 128), one and several of it; pixels above and below a stage and a piece, multiples of neither.
SHAPES = ((1, 3, 5), (2, 24, 3001), (1, 57, 700), (3, 64, 65), (1, 113, 90), (1, 161, 70))


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> EmulatedStyleLoss:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("the emulator needs g++")
    kernels = EmulatedStyleLoss(build(tmp_path_factory, compiler, "style_loss"))
    kernels.run_as(last_thread_first=False, copies_land_at_once=False)
    return kernels


def storage(type_: str) -> str:
    return type_.partition(" ")[0]


def draw(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def gram(features: Features) -> np.ndarray:
    _, channels, pixels = features.values.shape
    return features.values @ features.values.transpose(0, 2, 1) / (channels * pixels)


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", TYPES)
def test_forward_and_backward_follow_the_formula(
    kernels: EmulatedStyleLoss, type_: str, channels_last: bool, shape: tuple[int, int, int]
) -> None:
    samples, channels, _ = shape
    tf32 = type_ == TF32
    features = kernels.features(draw(shape), storage(type_), channels_last=channels_last)
    expected = gram(features)

    found = kernels.gram_matrix(features, allow_tf32=tf32)
    assert distance(found, expected) < GRAM_TOLERANCE[type_]
    np.testing.assert_array_equal(found, found.transpose(0, 2, 1))

    target = draw((samples, channels, channels), seed=1).astype(np.float32)
    loss, difference = kernels.style_loss(features, target, allow_tf32=tf32)
    assert distance(difference, expected - target) < GRAM_TOLERANCE[type_]
    assert loss == pytest.approx(np.mean((expected - target) ** 2), rel=1e-3 if tf32 else 1e-6)

    gradient = kernels.gram_matrix_backward(difference, 3.0, 0.25, features, allow_tf32=tf32)
    symmetric = (difference + difference.transpose(0, 2, 1)).astype(np.float64)
    assert distance(gradient, 0.75 * symmetric @ features.values) < GRADIENT_TOLERANCE[type_]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", TYPES)
def test_no_order_of_threads_or_copies_changes_a_bit(
    kernels: EmulatedStyleLoss, type_: str, channels_last: bool
) -> None:
    tf32 = type_ == TF32
    features = kernels.features(draw((1, 136, 140)), storage(type_), channels_last=channels_last)
    target = draw((1, 136, 136), seed=1)
    results = []
    for last_first, at_once in product([False, True], repeat=2):
        kernels.run_as(last_thread_first=last_first, copies_land_at_once=at_once)
        loss, difference = kernels.style_loss(features, target, allow_tf32=tf32)
        gradient = kernels.gram_matrix_backward(difference, None, 1.0, features, allow_tf32=tf32)
        results.append((loss, difference, gradient))
    kernels.run_as(last_thread_first=False, copies_land_at_once=False)
    for loss, difference, gradient in results[1:]:
        assert loss == results[0][0]
        np.testing.assert_array_equal(difference, results[0][1])
        np.testing.assert_array_equal(gradient, results[0][2])


@pytest.mark.parametrize("layout", [{"offset": 1}, {"offset": 3, "padding": 5}, {"padding": 8}])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("type_", TYPES)
def test_lines_may_start_anywhere(
    kernels: EmulatedStyleLoss, type_: str, channels_last: bool, layout: dict[str, int]
) -> None:
    tf32 = type_ == TF32
    values = draw((2, 40, 136))
    plain = kernels.features(values, storage(type_), channels_last=channels_last)
    odd = kernels.features(values, storage(type_), channels_last=channels_last, **layout)
    np.testing.assert_array_equal(
        kernels.gram_matrix(odd, allow_tf32=tf32), kernels.gram_matrix(plain, allow_tf32=tf32)
    )
    matrix = draw((2, 40, 40), seed=1)
    np.testing.assert_array_equal(
        kernels.gram_matrix_backward(matrix, None, 1.0, odd, allow_tf32=tf32),
        kernels.gram_matrix_backward(matrix, None, 1.0, plain, allow_tf32=tf32),
    )


def test_one_target_serves_every_sample(kernels: EmulatedStyleLoss) -> None:
    features = kernels.features(draw((3, 20, 50)), "bfloat16")
    target = draw((1, 20, 20), seed=1)
    one = kernels.style_loss(features, target)
    each = kernels.style_loss(features, np.repeat(target, 3, axis=0))
    assert one[0] == each[0]
    np.testing.assert_array_equal(one[1], each[1])


@pytest.mark.parametrize("type_", TYPES)
def test_a_nan_reaches_its_row_its_column_and_the_loss(kernels: EmulatedStyleLoss, type_: str) -> None:
    values = draw((1, 40, 70))
    values[0, 33, 69] = np.nan
    features = kernels.features(values, storage(type_))
    loss, difference = kernels.style_loss(features, np.zeros((1, 40, 40)), allow_tf32=type_ == TF32)
    poisoned = np.zeros((1, 40, 40), bool)
    poisoned[0, 33, :] = poisoned[0, :, 33] = True
    np.testing.assert_array_equal(np.isnan(difference), poisoned)
    assert np.isnan(loss)
    assert np.isnan(kernels.gram_matrix_backward(difference, None, 1.0, features, allow_tf32=type_ == TF32)).all()


@pytest.mark.parametrize("shape", [(0, 4, 9), (2, 0, 9), (2, 4, 0)])
def test_the_loss_of_nothing_is_nan(kernels: EmulatedStyleLoss, shape: tuple[int, int, int]) -> None:
    samples, channels, _ = shape
    features = kernels.features(np.zeros(shape), "float32")
    loss, difference = kernels.style_loss(features, np.zeros((samples, channels, channels)))
    assert np.isnan(loss)
    assert np.isnan(difference).all()
    assert kernels.gram_matrix_backward(difference, None, 1.0, features).shape == shape


def test_float16_weights_below_its_range_keep_their_digits(kernels: EmulatedStyleLoss) -> None:
    rows = 10.0 ** np.linspace(-25, 4, 30)[:, None]  # float16 ends at 6e-8 below and 65504 above
    matrix = rows * draw((1, 30, 30)) * rows.T
    features = kernels.features(draw((1, 30, 64), seed=1), "float16")
    factor = 1e3
    for channel in (0, 13, 29):
        alone = np.zeros_like(matrix)
        alone[:, channel] = matrix[:, channel] / np.abs(matrix[:, channel]).max() * rows[channel]
        found = kernels.gram_matrix_backward(alone, float(1 / rows[channel, 0]), factor / 1e3, features)
        symmetric = alone + alone.transpose(0, 2, 1)
        expected = symmetric @ features.values / rows[channel, 0]
        assert distance(found[:, channel], expected[:, channel]) < GRADIENT_TOLERANCE["float16"]


@pytest.mark.parametrize("side", [0, 1, 2, 3, 16, 128])
def test_blocks_take_each_tile_of_the_upper_triangle_once(kernels: EmulatedStyleLoss, side: int) -> None:
    assert kernels.upper_tiles(side) == [(row, column) for row in range(side) for column in range(row, side)]


@pytest.mark.parametrize("depth", [16, 32, 64])
def test_pieces_cut_the_pixels_without_gap_or_overlap(kernels: EmulatedStyleLoss, depth: int) -> None:
    sizes = (1, 63, 64, 65, 1024, 4096, 262144, 1000003, 2**31 + 7)
    for samples, channels, positions in product((1, 8, 512), (1, 32, 64, 100, 512, 2048), sizes):
        plan = kernels.plan(samples, channels, positions, depth)
        assert plan.tile * plan.side >= channels > plan.tile * (plan.side - 1)
        assert plan.tiles == plan.side * (plan.side + 1) // 2
        assert plan.piece_length % depth == 0
        assert (plan.pieces - 1) * plan.piece_length < positions <= plan.pieces * plan.piece_length
        assert plan.piece_length <= 16384 + depth
