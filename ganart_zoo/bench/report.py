"""Rows of figures as ratios, the file that keeps them, and the comparison of two such files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

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
    """Where the shape comes from, such as `VGG-19`; rows of a group are summarised together."""
    shape: str
    dtype: str
    device: str
    direction: str
    """`forward` or `forward+backward`."""
    flops: float
    """Useful operations; a multiply-add is two. 0 if they are not counted."""
    moved: float
    """Bytes that must cross memory, each input read once and each result written once; 0 if not counted."""
    floor: float
    """The least seconds that the machine's roofs allow; 0 without counts."""
    seconds: Mapping[str, float]
    """The best time of each candidate: `ganart`, the subject of the row, `eager`, `compile` and others."""
    images: int = 0
    """Pictures that one call produces, reads or trains on; 0 if it handles none."""
    statistics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By candidate, its `median`, the 95 % interval `low` to `high`, `spread`, `best` and `rounds`; empty in files of
    old releases."""
    cold: Mapping[str, float] = field(default_factory=dict)
    """The same for the subject with cold caches; empty where that was not measured."""
    peak_memory: int | None = None
    """Bytes that the subject allocated at most; None where it is not known."""

    @property
    def key(self) -> tuple[str, ...]:
        """The key that matches rows of two runs."""
        return self.op, self.direction, self.group, self.shape, self.dtype, self.device

    @property
    def title(self) -> str:
        """The key as text."""
        return f"{self.op} {self.direction} {self.group} {self.shape} {self.dtype} {self.device}"

    @property
    def rate(self) -> float:
        """Useful FLOP/s."""
        return self.flops / self.seconds[SUBJECT]

    @property
    def throughput(self) -> float:
        """Bytes/s of the necessary traffic."""
        return self.moved / self.seconds[SUBJECT]

    @property
    def images_rate(self) -> float | None:
        """Pictures/s; None if the call handles none."""
        return self.images / self.seconds[SUBJECT] if self.images else None

    @property
    def of_roof(self) -> float | None:
        """The share of the roof that is reached, 1 at the floor; None without counts."""
        return self.floor / self.seconds[SUBJECT] if self.floor else None

    def times(self, rival: str) -> float | None:
        """Return how many times faster than a rival the subject is; None if that rival was not run."""
        return self.seconds[rival] / self.seconds[SUBJECT] if rival in self.seconds else None

    @property
    def baseline(self) -> str:
        """The fastest candidate other than the subject; empty if it ran alone."""
        rivals = [name for name in self.seconds if name != SUBJECT]
        return min(rivals, key=lambda name: self.seconds[name]) if rivals else ""


@dataclass(frozen=True)
class Report:
    """The rows of one run, with the machine and its roofs."""

    machine: Mapping[str, Any]
    roofs: Sequence[Mapping[str, Any]]
    rows: Sequence[Row]

    def save(self, path: Path) -> None:
        """Write the report as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Report:
        """Read a report that `save` wrote.

        Raises:
            SettingsError: the file is missing or of another form.
        """
        try:
            data = json.loads(path.read_text())
            return cls(data["machine"], data["roofs"], [Row(**row) for row in data["rows"]])
        except OSError as error:
            raise SettingsError(f"no results at {path}: {error.strerror}; run 'make bench' to write them") from error
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{path} holds no benchmark results ({error}); run 'make bench' to write them"
            ) from error

    def groups(self) -> dict[tuple[str, ...], list[Row]]:
        """Return the rows by op, direction, group, dtype and device, in the order of the run."""
        grouped: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            grouped.setdefault((row.op, row.direction, row.group, row.dtype, row.device), []).append(row)
        return grouped


class Ratio(NamedTuple):
    """A figure of a run and its 95 % interval; both ends are the value where none is known."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Drop:
    """A ratio that fell between two runs."""

    row: str
    ratio: str
    before: float
    now: float
    certain: bool = False
    """Whether the intervals of the two runs lie apart; without intervals the size alone decides."""

    def __str__(self) -> str:
        change = 1 - self.now / self.before
        apart = "; the 95 % intervals lie apart" if self.certain else ""
        return f"{self.row}: {self.ratio} fell by {change:.0%}, from {self.before:.2f} to {self.now:.2f}{apart}"


def drops(before: Report, now: Report, tolerance: float = 0.1) -> list[Drop]:
    """Return the ratios that fell by more than `tolerance`, a fraction, for rows that both runs have.

    Shares of the roof and ratios to eager PyTorch are compared, and not times, because ratios carry over to another
    machine. Where both runs know the intervals of their medians, a ratio counts as fallen only if its interval lies
    wholly below the one before: a drop is large enough to matter, and too large for chance.
    """
    known = {row.key: row for row in before.rows}
    fallen = []
    for row in now.rows:
        earlier = known.get(row.key)
        if earlier is None:
            continue
        intervals = bool(row.statistics and earlier.statistics)
        old = _tracked(earlier, intervals)
        for name, new in _tracked(row, intervals).items():
            if name in old and new.value < old[name].value * (1 - tolerance) and new.high < old[name].low:
                fallen.append(Drop(row.title, name, old[name].value, new.value, intervals))
    return fallen


def vanished(before: Report, now: Report) -> list[str]:
    """Return the titles of the rows that only the earlier run has."""
    present = {row.key for row in now.rows}
    return [row.title for row in before.rows if row.key not in present]


def other_machine(before: Report, now: Report) -> list[str]:
    """Describe how the machines of two runs differ; ratios from two machines say little about the code."""
    names = dict.fromkeys((*before.machine, *now.machine))
    pairs = {name: (before.machine.get(name, "unknown"), now.machine.get(name, "unknown")) for name in names}
    return [f"{name} was {old} and is {new}" for name, (old, new) in pairs.items() if old != new]


def _tracked(row: Row, intervals: bool) -> dict[str, Ratio]:
    """Return the ratios that carry over to other machines: of medians with `intervals`, else of the best times."""
    found: dict[str, Ratio] = {}
    seconds = {name: _seconds(row, name, intervals) for name in row.seconds}
    own = seconds[SUBJECT]
    if row.floor:
        found["share of roof"] = Ratio(row.floor / own.value, row.floor / own.high, row.floor / own.low)
    for name, other in seconds.items():
        if name.startswith(EAGER):
            found[f"times {name}"] = Ratio(other.value / own.value, other.low / own.high, other.high / own.low)
    return found


def _seconds(row: Row, name: str, intervals: bool) -> Ratio:
    if intervals and name in row.statistics:
        times = row.statistics[name]
        return Ratio(times["median"], times["low"], times["high"])
    return Ratio(row.seconds[name], row.seconds[name], row.seconds[name])


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean of positive values.

    >>> round(geometric_mean([1.0, 4.0]), 6)
    2.0
    """
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms))
