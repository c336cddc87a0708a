"""The environment that shapes a picture besides its inputs: versions, hardware, implementations of the ops."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import PIL
import torch

import ganart_zoo
from ganart_zoo import ops

__all__ = ["op_implementations", "reproducible", "thread_count", "versions"]


def versions(device: torch.device) -> dict[str, str]:
    """Return the versions of all that shapes the pixels on `device`; the model's own is in its provenance."""
    known = {
        "ganart-zoo": ganart_zoo.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        # Torch's own kernels differ with the instruction set.
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
    if (precision := torch.get_float32_matmul_precision()) != "highest":
        known["float32_matmul_precision"] = precision  # as the program set it, with less exact products
    if device.type == "cuda":
        known["cuda"] = str(torch.version.cuda)
        known["gpu"] = torch.cuda.get_device_name(device)
    return known


def op_implementations(device: torch.device) -> dict[str, str]:
    """Return `{op: "native" or "reference"}`, as ops would run on `device` now."""
    return {status.op: status.implementation for status in ops.status() if status.device == device.type}


class _Deterministic:
    """Counts the blocks that need cuDNN's fixed algorithms, in all threads: the last one restores the settings."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 0
        self._benchmark = self._deterministic = False

    def enter(self) -> None:
        cudnn = torch.backends.cudnn
        with self._lock:
            if self._blocks == 0:
                self._benchmark, self._deterministic = cudnn.benchmark, cudnn.deterministic
                cudnn.set_flags(_benchmark=False, _deterministic=True)
            self._blocks += 1

    def leave(self) -> None:
        with self._lock:
            self._blocks -= 1
            if self._blocks == 0:
                torch.backends.cudnn.set_flags(_benchmark=self._benchmark, _deterministic=self._deterministic)


_deterministic = _Deterministic()


@contextmanager
def reproducible() -> Iterator[None]:
    """Prevent cuDNN from choosing its algorithms by timing them, while the block lasts.

    Blocks may overlap, in one thread or in several.
    """
    _deterministic.enter()
    try:
        yield
    finally:
        _deterministic.leave()


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Let torch use this many CPU threads while the block lasts; the order of sums depends on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
