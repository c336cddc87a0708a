"""Each layer op compiles whole, by the real inductor, and differentiates as it does uncompiled."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from .layers import draw

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs g++"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),  # torch's own use
]
NAMES = [  # one of each op: g++ takes seconds for what is around the kernels
    "bias_act lrelu",
    "instance_norm_act",
    "adain",
    "upsample2d",
    "conv2d_bias_act",
    "scaled_bias_act, clamped",
    "modulated_conv2d",
    "minibatch_stddev",
    "pixel_norm",
    "glu",
]


@pytest.mark.parametrize("name", NAMES)
def test_compiles_whole(name) -> None:
    problem = draw(name, (2, 3, 5, 6), "channels_last", "contiguous", torch.float32, seed=6)
    torch._dynamo.reset()
    compiled = torch.compile(problem.layer.run, fullgraph=True)
    found = problem._replace(layer=problem.layer._replace(run=compiled)).outcome()
    for ours, expected in zip(found, problem.outcome(), strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("name", ["bias_act swish", "upsample2d"])
def test_compiles_once_for_all_sizes(name) -> None:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled, count = None, 0
    for size in ((2, 3, 5, 6), (3, 3, 8, 7), (5, 3, 7, 9)):
        problem = draw(name, size, "contiguous", "contiguous", torch.float32, seed=7)
        compiled = compiled or torch.compile(problem.layer.run, fullgraph=True, dynamic=True, backend=counter)
        found = problem._replace(layer=problem.layer._replace(run=compiled)).outcome()
        for ours, expected in zip(found, problem.outcome(), strict=True):
            torch.testing.assert_close(ours, expected)
        count = count or counter.frame_count
        assert counter.frame_count == count
