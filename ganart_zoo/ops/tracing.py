"""Records the calls of ops, for benchmarks at the shapes that a real run uses: `GANART_TRACE=shapes.json`.

{"ganart_trace": 1, "calls": [{"op": "ganart::bias_act", "count": 12, "arguments": [
    {"shape": [1, 64, 32, 32], "strides": [65536, 1024, 32, 1], "dtype": "float32", "device": "cpu"}, 0.2, ...]}]}
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["FORMAT", "described", "recorder"]

FORMAT = 1


class _Recorder:
    """Counts distinct calls, and writes them when the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def record(self, op: str, arguments: tuple[Any, ...]) -> None:
        """Count one call; one whose arguments cannot be described as data is left out."""
        try:
            key = json.dumps({"op": op, "arguments": [described(each) for each in arguments]})
        except TypeError:
            return
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + 1

    def write(self) -> None:
        """Write what was counted, the most frequent calls first."""
        with self._lock:
            counts = sorted(self._counts.items(), key=lambda item: -item[1])
        calls = [{**json.loads(key), "count": count} for key, count in counts]
        text = json.dumps({"ganart_trace": FORMAT, "calls": calls}, indent=1) + "\n"
        if self._path.exists() and not self._path.is_file():  # such as /dev/stderr, which nothing may take the place of
            self._path.write_text(text, encoding="utf-8")
            return
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(self._path)


def described(value: Any) -> Any:
    """Return an argument of an op as JSON data; a tensor by its shape, strides, dtype and device.

    Raises:
        TypeError: It is neither a tensor nor plain data.
    """
    if isinstance(value, Tensor):
        return {
            "shape": [int(extent) for extent in value.shape],
            "strides": [int(stride) for stride in value.stride()],
            "dtype": str(value.dtype).removeprefix("torch."),
            "device": value.device.type,
            "requires_grad": value.requires_grad,
        }
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [described(each) for each in value]
    if isinstance(value, torch.dtype):
        return {"dtype_of": str(value).removeprefix("torch.")}
    raise TypeError(type(value).__name__)


def _from_environment() -> _Recorder | None:
    path = os.environ.get("GANART_TRACE")
    if not path:
        return None
    made = _Recorder(Path(path).absolute())
    atexit.register(made.write)
    return made


recorder: _Recorder | None = _from_environment()
"""What `NativeOp` reports its calls to; None unless `GANART_TRACE` names a file."""
