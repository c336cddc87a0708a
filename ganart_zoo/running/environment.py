"""The environment that shapes a picture besides its inputs: versions, hardware, implementations of the ops."""

from __future__ import annotations

import platform
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
    if device.type == "cuda":
        known["cuda"] = str(torch.version.cuda)
        known["gpu"] = torch.cuda.get_device_name(device)
    return known


def op_implementations(device: torch.device) -> dict[str, str]:
    """Return `{op: "native" or "reference"}`, as ops would run on `device` now."""
    return {status.op: status.implementation for status in ops.status() if status.device == device.type}


@contextmanager
def reproducible() -> Iterator[None]:
    """Prevent cuDNN from choosing its algorithms by timing them, while the block lasts."""
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=cudnn.allow_tf32):
        yield


@contextmanager
def thread_count(threads: int) -> Iterator[None]:
    """Let torch use this many CPU threads while the block lasts; the order of sums depends on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
