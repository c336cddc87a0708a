"""Rows of figures as ratios, the file that keeps them, and the comparison of two such files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ganart_zoo.contract.errors import SettingsError

__all__ = [
    "COMPILED",
    "EAGER",
    "SUBJECT",
    "Drop",
    "Report",
    "Row",
    "drops",
    "geometric_mean",
    "other_machine",
    "vanished",
]

SUBJECT, EAGER, COMPILED = "ganart", "eager", "compile"


@dataclass(frozen=True)
class Row:
    """One op on one shape: the work it must do, and the fastest seconds of each candidate."""

    op: str
    group: str
    """Whose shape it is, such as `VGG-19`; rows of a group are summed up together."""
    shape: str
    dtype: str
    device: str
    direction: str
    """`forward` or `forward+backward`."""
    flops: float
    """Useful operations; a multiply-add is two. 0 where nobody has counted."""
    moved: float
    """Bytes that must cross memory, each input read once and each result written once. 0 where nobody has counted."""
    floor: float
    """Seconds below which the machine's roofs allow nothing; 0 without counts."""
    seconds: Mapping[str, float]
    """Best time of each candidate: `ganart`, which the row is about, `eager`, `compile` and others."""
    images: int = 0
    """Pictures that one call makes, takes or learns from; 0 where it is about none."""

    @property
    def key(self) -> tuple[str, ...]:
        """What two runs are matched by."""
        return self.op, self.direction, self.group, self.shape, self.dtype, self.device

    @property
    def title(self) -> str:
        """The key in words."""
        return f"{self.op} {self.direction} {self.group} {self.shape} {self.dtype} {self.device}"

    @property
    def rate(self) -> float:
        """Useful FLOP/s."""
        return self.flops / self.seconds[SUBJECT]

    @property
    def throughput(self) -> float:
        """Bytes/s of the traffic that must be."""
        return self.moved / self.seconds[SUBJECT]

    @property
    def images_rate(self) -> float | None:
        """Pictures/s; None where it is about none."""
        return self.images / self.seconds[SUBJECT] if self.images else None

    @property
    def of_roof(self) -> float | None:
        """Share of the roof reached, 1 at the floor; None without counts."""
        return self.floor / self.seconds[SUBJECT] if self.floor else None

    def times(self, rival: str) -> float | None:
        """Return how many times faster than a rival the subject is; None where that one was not run."""
        return self.seconds[rival] / self.seconds[SUBJECT] if rival in self.seconds else None


@dataclass(frozen=True)
class Report:
    """The rows of one run, with the machine and its roofs."""

    machine: Mapping[str, Any]
    roofs: Sequence[Mapping[str, Any]]
    rows: Sequence[Row]

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Report:
        """Read what `save` wrote.

        Raises:
            SettingsError: the file is missing or of another form.
        """
        try:
            data = json.loads(path.read_text())
            return cls(data["machine"], data["roofs"], [Row(**row) for row in data["rows"]])
        except OSError as error:
            raise SettingsError(f"no results at {path}: {error.strerror}; make bench writes some") from error
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{path} holds no benchmark results ({error}); make bench writes some") from error

    def groups(self) -> dict[tuple[str, ...], list[Row]]:
        """Return the rows by op, direction, group, dtype and device, in their order."""
        found: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            found.setdefault((row.op, row.direction, row.group, row.dtype, row.device), []).append(row)
        return found


@dataclass(frozen=True)
class Drop:
    """A ratio that fell between two runs."""

    row: str
    ratio: str
    before: float
    now: float

    def __str__(self) -> str:
        change = 1 - self.now / self.before
        return f"{self.row}: {self.ratio} fell by {change:.0%}, from {self.before:.2f} to {self.now:.2f}"


def drops(before: Report, now: Report, tolerance: float = 0.1) -> list[Drop]:
    """Return the ratios that fell by more than `tolerance`, a share, for rows that both runs have.

    Shares of the roof and ratios to eager PyTorch are compared, not times: they outlast a change of machine.
    """
    known = {row.key: _tracked(row) for row in before.rows}
    found = []
    for row in now.rows:
        old = known.get(row.key, {})
        found += [
            Drop(row.title, name, old[name], new)
            for name, new in _tracked(row).items()
            if name in old and new < old[name] * (1 - tolerance)
        ]
    return found


def vanished(before: Report, now: Report) -> list[str]:
    """Return the titles of rows that only the earlier run has."""
    present = {row.key for row in now.rows}
    return [row.title for row in before.rows if row.key not in present]


def other_machine(before: Report, now: Report) -> list[str]:
    """Return in words what the two runs' machines do not share; ratios of two machines say little about the code."""
    names = dict.fromkeys((*before.machine, *now.machine))
    pairs = {name: (before.machine.get(name, "unknown"), now.machine.get(name, "unknown")) for name in names}
    return [f"{name} was {old} and is {new}" for name, (old, new) in pairs.items() if old != new]


def _tracked(row: Row) -> dict[str, float]:
    ratios = {f"times {name}": row.times(name) for name in row.seconds if name.startswith(EAGER)}
    return {name: ratio for name, ratio in {"share of roof": row.of_roof, **ratios}.items() if ratio is not None}


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean of positive values.

    >>> round(geometric_mean([1.0, 4.0]), 6)
    2.0
    """
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms))
