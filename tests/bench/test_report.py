"""Ratios, their file, and what counts as a drop."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ganart_zoo.bench import Report, Row, drops, other_machine, vanished
from ganart_zoo.contract.errors import SettingsError

ROW = Row(
    op="style_loss",
    group="VGG-19",
    shape="64x8x8",
    dtype="float32",
    device="cpu",
    direction="forward",
    flops=6e9,
    moved=3e8,
    floor=0.03,
    seconds={"ganart": 0.04, "eager": 0.2, "compile": 0.1},
)


def report(*rows: Row) -> Report:
    return Report({"processor": "test", "threads": 2}, [{"device": "cpu", "bandwidth": 1.0}], list(rows))


def test_a_row_gives_ratios() -> None:
    assert ROW.of_roof == pytest.approx(0.75)
    assert ROW.rate == pytest.approx(150e9)
    assert ROW.throughput == pytest.approx(7.5e9)
    assert ROW.times("eager") == pytest.approx(5)
    assert ROW.times("nobody") is None
    assert replace(ROW, floor=0.0).of_roof is None
    assert ROW.images_rate is None
    assert replace(ROW, images=64).images_rate == pytest.approx(1600)


def test_files_from_before_pictures_were_counted_load(tmp_path: Path) -> None:
    report(ROW).save(tmp_path / "results.json")
    data = json.loads((tmp_path / "results.json").read_text())
    del data["rows"][0]["images"]
    (tmp_path / "results.json").write_text(json.dumps(data))
    assert Report.load(tmp_path / "results.json").rows == [ROW]


def test_reports_survive_the_file(tmp_path: Path) -> None:
    written = report(ROW, replace(ROW, shape="3x8x8"))
    written.save(tmp_path / "new" / "results.json")
    assert Report.load(tmp_path / "new" / "results.json") == written


def test_files_that_hold_no_results_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no results at .*missing\.json.*make bench"):
        Report.load(tmp_path / "missing.json")
    (tmp_path / "other.json").write_text('{"rows": [{"op": 1}]}')
    with pytest.raises(SettingsError, match=r"other\.json holds no benchmark results"):
        Report.load(tmp_path / "other.json")


def test_a_slower_machine_is_no_drop() -> None:
    slower = replace(ROW, floor=0.3, seconds={name: 10 * seconds for name, seconds in ROW.seconds.items()})
    assert drops(report(ROW), report(slower)) == []


@pytest.mark.parametrize(("factor", "count"), [(1.09, 0), (1.15, 2)])
def test_ratios_may_fall_by_a_tenth(factor: float, count: int) -> None:
    now = replace(ROW, seconds={**ROW.seconds, "ganart": 0.04 * factor})
    found = drops(report(ROW), report(now))
    assert len(found) == count
    if found:
        assert {drop.ratio for drop in found} == {"share of roof", "times eager"}
        assert "style_loss forward VGG-19 64x8x8 float32 cpu: share of roof fell by 13%" in str(found[0])


def test_only_rows_of_both_runs_are_held_against_each_other() -> None:
    slow = replace(ROW, shape="other", seconds={"ganart": 9.0, "eager": 0.1})
    assert drops(report(ROW), report(slow)) == []
    without_counts = replace(ROW, floor=0.0, seconds={"ganart": 0.08, "eager float32": 0.2})
    assert drops(report(ROW), report(without_counts)) == []
    faster = replace(without_counts, seconds={"ganart": 0.04, "eager float32": 0.2})
    assert [drop.ratio for drop in drops(report(faster), report(without_counts))] == ["times eager float32"]


def timed(own: tuple[float, float, float], eager: tuple[float, float, float]) -> Row:
    """A row whose medians and their intervals are known."""
    names = ("median", "low", "high")
    statistics = {name: dict(zip(names, values, strict=True)) for name, values in (("ganart", own), ("eager", eager))}
    return replace(ROW, statistics=statistics, seconds={"ganart": own[1], "eager": eager[1]})


def test_a_drop_must_be_large_and_beyond_chance() -> None:
    before = timed((1.0, 0.95, 1.05), (4.0, 3.9, 4.1))
    large_and_certain = timed((1.5, 1.45, 1.55), (4.0, 3.9, 4.1))
    found = drops(report(before), report(large_and_certain))
    assert {drop.ratio for drop in found} == {"share of roof", "times eager"}
    assert "from 4.00 to 2.67; the 95 % intervals lie apart" in str(found[1])
    large_but_uncertain = timed((1.5, 0.9, 2.5), (4.0, 3.0, 5.0))
    assert drops(report(before), report(large_but_uncertain)) == []
    small_but_certain = timed((1.07, 1.06, 1.08), (4.0, 3.99, 4.01))
    narrow = timed((1.0, 0.99, 1.01), (4.0, 3.99, 4.01))
    assert drops(report(narrow), report(small_but_certain)) == []
    # a file of an old release has best times alone, which are compared with best times
    assert drops(report(replace(before, statistics={})), report(timed((1.5, 0.95, 1.55), (4.0, 3.9, 4.1)))) == []


def test_rows_that_are_gone_are_told() -> None:
    other = replace(ROW, shape="3x8x8")
    assert vanished(report(ROW, other), report(other)) == ["style_loss forward VGG-19 64x8x8 float32 cpu"]
    assert vanished(report(ROW), report(ROW, other)) == []


def test_what_two_machines_do_not_share_is_told() -> None:
    before = replace(report(ROW), machine={"isa": "avx512", "threads": 2})
    now = replace(report(ROW), machine={"isa": "avx2", "threads": 2, "gpu": "H100"})
    assert other_machine(before, now) == ["isa was avx512 and is avx2", "gpu was unknown and is H100"]
    assert other_machine(before, before) == []
