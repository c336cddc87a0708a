"""Layer ops on shapes, layouts and types that hypothesis draws, on each instruction set, in poisoned memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from ganart_zoo import native, ops
from ganart_zoo.contract.errors import SettingsError

from .layers import LAYERS, VIEWS, Shape, draw, expect, poisoned_memory

if native.ops_library() is None:
    pytest.skip(native.why_not_built(), allow_module_level=True)

KERNELS = torch.ops.ganart
LEVELS = native.introspection().cpu_isa_levels()
LARGEST = 6000  # elements: what matters is where vectors and rows end

# None, one, primes, and a lane more and less than each instruction set has of each type.
CHANNELS = (0, 1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 37)
SIDES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 33, 65)


def shapes() -> st.SearchStrategy[Shape]:
    sides = st.sampled_from(SIDES)
    drawn = st.tuples(st.integers(0, 3), st.sampled_from(CHANNELS), sides, sides)
    return drawn.filter(lambda shape: shape[1] * shape[2] * shape[3] <= LARGEST)


@pytest.mark.parametrize("name", LAYERS)
@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    shape=shapes(),
    view=st.sampled_from(list(VIEWS)),
    weights_view=st.sampled_from(list(VIEWS)),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
    level=st.sampled_from(LEVELS),
    seed=st.integers(0, 2**16),
)
def test_results_and_gradients_err_at_most_twice_as_much_as_eagers(
    name, shape, view, weights_view, dtype, level, seed
) -> None:
    if name.startswith(("instance_norm_act", "adain")):
        # What is left of differences between a few pixels, or equal ones in float64, is luck in the definition too.
        assume(0 in shape or (shape[2] * shape[3] >= 8 and (view != "same for all pixels" or dtype != torch.float64)))
    try:
        problem = draw(name, shape, view, weights_view, dtype, seed)
    except (SettingsError, RuntimeError):  # convolutions have no channels or pixels to work on
        assert 0 in shape[1:]
        reject()
    before = KERNELS.use_cpu_isa(level)
    try:
        with ops.use("native"), poisoned_memory():
            found = problem.outcome()
    finally:
        KERNELS.use_cpu_isa(before)
    expect(problem).check(found)
    if view == "channels_last" and 0 not in shape and shape[1] > 1 and shape[2:] != (1, 1):  # else it is contiguous too
        if name in ("modulated_conv2d, up", "conv2d_bias_act, filtered"):
            # strided convolutions of features that are smaller than their weight are faster contiguous
            assume(problem.inputs[0].numel() >= problem.inputs[1].numel())
        if name != "modulated_conv2d, to pictures":  # whose result is contiguous
            assert found[0].is_contiguous(memory_format=torch.channels_last)
        if weights_view == "channels_last" and not (name == "glu" and shape[1] % 2):  # its x is a view
            assert found[1].is_contiguous(memory_format=torch.channels_last)
