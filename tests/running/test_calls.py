"""What a failed call of a model means."""

from __future__ import annotations

import pytest
import torch

from ganart_zoo import Zoo
from ganart_zoo.contract import ModelError, PluginFaultError
from ganart_zoo.running.calls import broken_call


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_a_want_of_memory_is_no_fault_of_the_plugin(zoo: Zoo, error: Exception) -> None:
    told = broken_call(zoo, zoo.entry("blend"), "stylize", error, (4000, 3000))
    assert isinstance(told, ModelError)
    assert not isinstance(told, PluginFaultError)
    assert str(told) == "ganart-tiny/blend ran out of memory at 4000×3000; try a smaller size"
    assert not zoo.faults
