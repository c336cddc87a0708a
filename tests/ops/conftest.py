"""Fixtures of the op tests: both implementations, the instruction sets, thread counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ganart_zoo import ops


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


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)
