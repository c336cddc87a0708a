"""The page of committed results: grouped by machine, and up to date."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ganart_zoo.bench import Report, Row
from ganart_zoo.bench.history import draw_history, history_page, read_history
from ganart_zoo.contract.errors import SettingsError

ROOT = Path(__file__).parents[2]
ROW = Row("blur", "photos", "8x8", "float32", "cpu", "forward", 4e9, 1e8, 0.5, {"ganart": 1.0, "eager": 4.0})
MACHINE = {"processor": "Test", "isa": "none", "threads": 1}


def test_results_are_grouped_by_machine_and_day(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    slower = replace(ROW, shape="9x9", seconds={"ganart": 1.0, "eager float32": 1.0}, floor=0.1)
    Report(MACHINE, [], [ROW, slower]).save(tmp_path / "2026-01-01-none.json")
    Report(MACHINE, [], [replace(ROW, op="paint", floor=0.0)]).save(tmp_path / "2026-02-01.json")
    Report({**MACHINE, "gpu": "G1"}, [], [ROW]).save(tmp_path / "2026-03-01.json")
    one, other = read_history(tmp_path)
    assert (one.title, list(one.days)) == ("Test, none, 1 threads", ["2026-01-01", "2026-02-01"])
    assert other.title == "Test, none, 1 threads, G1"
    page = history_page([one, other], "pictures")
    assert "| blur forward | 2.00× (30%) |  |" in page  # the geometric mean of 4 and 1, the median of 50 % and 10 %
    assert "| paint forward |  | 4.00× |" in page
    assert "(pictures/test-none-1-threads-g1.png)" in page
    draw_history(one, tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.format == "PNG"


def test_what_is_no_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no results"):
        read_history(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(SettingsError, match="named by its date"):
        read_history(tmp_path)


def test_the_committed_page_is_that_of_the_committed_results() -> None:
    machines = read_history(ROOT / "benchmarks" / "results")
    page = (ROOT / "docs" / "benchmark-history.md").read_text(encoding="utf-8")
    assert page == history_page(machines, "gallery/benchmarks"), "run make bench-history"
    for machine in machines:
        assert (ROOT / "docs" / "gallery" / "benchmarks" / f"{machine.slug}.png").exists()
