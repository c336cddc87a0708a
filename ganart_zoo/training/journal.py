"""The journal of a run: lines of metrics, TensorBoard events, sample grids, and the names of skipped pictures."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from torch import Tensor
from torch.utils.tensorboard import RecordWriter, summary

from ganart_zoo.data.pictures import as_text
from ganart_zoo.imaging.files import write_text
from ganart_zoo.imaging.images import save

__all__ = ["Journal", "read_skipped"]

_log = logging.getLogger("ganart_zoo")

_summary: Any = summary  # torch leaves it untyped

_SKIPPED = "skipped.txt"


class Journal:
    """The journal of one run, written by one process.

    Args:
        folder: The run folder.
        step: Steps done. Lines of later steps, which a killed run left, are removed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._metrics = folder / "metrics.jsonl"
        self._skipped = folder / _SKIPPED
        self._samples = folder / "samples"
        kept = [line for line in _lines(self._metrics) if _step(line) <= step]
        write_text(self._metrics, "".join(f"{line}\n" for line in kept), alone=True)
        self.skipped = dict.fromkeys(read_skipped(folder))
        """Pictures that could not be read so far, as lines of name and reason."""
        self._events = _Events(folder / "events", step)

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Write a line of metrics. Values that are not numbers are left out of TensorBoard."""
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._events.write(step, summary=_summary.scalar(name, value))
        self._events.flush()

    def show(self, step: int, grid: Tensor) -> Path:
        """Save a grid of samples, `[1, 3, H, W]`."""
        self._samples.mkdir(exist_ok=True)
        path = self._samples / f"step-{step:08d}.png"
        save(grid, path)
        self._events.write(step, summary=_summary.image("samples", grid.clamp(0, 1)))
        self._events.flush()
        return path

    def skip(self, lines: Iterable[str]) -> None:
        """Record pictures that could not be read, each once."""
        new = [line for line in dict.fromkeys(map(as_text, lines)) if line not in self.skipped]
        if not new:
            return
        self.skipped.update(dict.fromkeys(new))
        with self._skipped.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in new)
        for line in new:
            _log.warning("skipped %s", line)

    def close(self) -> None:
        """Close the files."""
        self._events.close()


class _Events:
    """A file of TensorBoard events, written at once. SummaryWriter's thread would print errors of a full disk itself.

    Args:
        folder: Where such files lie.
        step: Steps done; of earlier files, viewers drop what is later.
    """

    def __init__(self, folder: Path, step: int) -> None:
        folder.mkdir(exist_ok=True)
        # viewers read them in the order of their names
        path = folder / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self._records = RecordWriter(path.open("wb"))
        self.write(0, file_version="brain.Event:2")
        self.write(step + 1, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, **what: Any) -> None:
        self._records.write(Event(wall_time=time.time(), step=step, **what).SerializeToString())

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()


def read_skipped(folder: Path) -> tuple[str, ...]:
    """Return the pictures that a run could not read so far, as lines of name and reason."""
    return tuple(_lines(folder / _SKIPPED))


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n") if path.stat().st_size else []
    return []


def _step(line: str) -> float:
    """Return the step of a line of metrics, or infinity for a line that was cut short."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
