"""Fixtures of the op tests: both implementations, the instruction sets, thread counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ganart_zoo import native, ops

LEVELS = native.introspection().cpu_isa_levels() if native.ops_library() is not None else ()


@pytest.fixture(params=["reference", "native"])
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each implementation in turn; native is skipped where one of the test module's NATIVE_OPS has no kernel."""
    if request.param == "native":
        reasons = {status.op: status.reason for status in ops.status() if status.device == "cpu"}
        for op in request.module.NATIVE_OPS:
            if reasons[op]:
                pytest.skip(f"{op}: {reasons[op]}")
    with ops.use(request.param):
        yield request.param


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of this machine in turn, none where no kernels are built."""
    before = torch.ops.ganart.use_cpu_isa(request.param)
    yield request.param
    torch.ops.ganart.use_cpu_isa(before)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)
