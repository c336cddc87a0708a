"""Plans of memory: a forecast before long work, tiles where they are needed, and advice where nothing fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry.processes import parse_bytes, resident, show_bytes

__all__ = [
    "Forecast",
    "MemoryPlan",
    "available",
    "parse_bytes",
    "peak_resident",
    "plan_memory",
    "resident",
    "show_bytes",
    "spare_limit",
]

Forecast: TypeAlias = "Callable[[int, int, int | None], int]"
"""Takes the height and width of a picture and a tile, and returns the bytes that the call adds."""

_TILES = (4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 64)
_SPARE = 0.9
"""The share of the memory that is free which is used where no limit is given."""


@dataclass(frozen=True)
class MemoryPlan:
    """How a call keeps within its memory."""

    tile: int | None
    """The side of tiles, in pixels; None: the whole picture at once."""
    peak: int
    """Forecast: the largest number of bytes that the process will hold in memory."""
    limit: int
    """Bytes that the process may hold."""

    def __str__(self) -> str:
        how = "in one piece" if self.tile is None else f"in tiles of {self.tile} pixels"
        return f"{how}: {show_bytes(self.peak)} forecast of {show_bytes(self.limit)}"


def peak_resident() -> int:
    """Return the most bytes that this process has held in memory so far; 0 where nothing tells."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, ValueError, StopIteration):
        return 0


def available() -> int | None:
    """Return the bytes of memory that are free on this machine or in its control group; None where nothing tells."""
    found = []
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, ValueError, KeyError):
        pass
    try:
        group = Path("/sys/fs/cgroup")
        found.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no limit reads "max"
        pass
    return max(0, min(found)) if found else None


def plan_memory(
    forecast: Forecast, height: int, width: int, *, limit: int, tiles: bool, tile: int | None = None, what: str = ""
) -> MemoryPlan:
    """Return the plan with the largest tiles that keep the process within its limit; none where the picture fits.

    Args:
        forecast: The model's.
        height: Rows of the picture.
        width: Columns of the picture.
        limit: Bytes that the process may hold.
        tiles: Whether the model can work in tiles.
        tile: Consider this tile alone.
        what: What is to be made, for messages.

    Raises:
        SettingsError: Nothing fits; the message says how much would.
    """
    forecast(min(height, 64), min(width, 64), None)  # what is loaded for a first measurement counts as held already
    now, before = resident(), peak_resident()
    if tile is not None:
        sides: tuple[int | None, ...] = (tile,)
    else:
        sides = (None, *(side for side in _TILES if side < max(height, width))) if tiles else (None,)
    peak, last = now, None
    for side in sides:
        try:
            peak, last = max(before, now + forecast(height, width, side)), side
        except SettingsError:  # what is asked for needs the whole picture at once
            if tile is not None:
                raise
            break
        if peak <= limit:
            return MemoryPlan(side, peak, limit)
    how = "" if last is None else f" in tiles of {last} pixels"
    raise SettingsError(
        f"{what}{width}×{height} pixels need {show_bytes(peak)} of memory{how}, and the limit is {show_bytes(limit)}; "
        f"raise it to {-(-peak // 2**20)}MiB, or choose a smaller size"
    )


def spare_limit() -> int | None:
    """Return how many bytes this process may come to hold where no limit is given; None where nothing tells."""
    free = available()
    return None if free is None else resident() + round(_SPARE * free)
