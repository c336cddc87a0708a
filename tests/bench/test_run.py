"""Running benchmarks through pytest, and `ganart bench`."""

from __future__ import annotations

import io
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from ganart_zoo.bench import Report, Row
from ganart_zoo.bench.run import latest_results, run_benchmarks
from ganart_zoo.bench.show import draw_bars, print_report
from ganart_zoo.cli import main
from ganart_zoo.contract.errors import ModelError, SettingsError

ROW = Row(
    "blur", "photos", "8x8", "float32", "cpu", "forward", 4e9, 1e8, 0.5, {"ganart": 1.0, "eager": 3.0, "compile": 2.0}
)
BIG = replace(ROW, shape="64x64", seconds={"ganart": 1.0, "eager": 12.0})
UNCOUNTED = replace(ROW, op="paint", flops=0, moved=0, floor=0.0)
ROOFS = {"device": "cpu", "peak": {"float32": 8e9}, "bandwidth": 2e9, "fresh_bandwidth": 1e9}
REPORT = Report({"processor": "test", "isa": "none", "threads": 1}, [ROOFS], [ROW, BIG, UNCOUNTED])


@pytest.fixture
def benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder of benchmarks like the repository's, of one test."""
    pytest.importorskip("pytest_benchmark")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # of these tests, not of the benchmarks they start
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "conftest.py").write_text(
        "def pytest_benchmark_update_json(output_json):\n"
        "    output_json['ganart'] = {'machine': {'threads': 1}, 'roofs': []}\n"
        "def pytest_addoption(parser):\n"
        "    parser.addoption('--no-compile', action='store_true')\n"
    )
    (folder / "test_blur.py").write_text(
        "def test_blur(benchmark):\n"
        "    benchmark.pedantic(lambda: None)\n"
        f"    benchmark.extra_info['row'] = {asdict(ROW)!r}\n"
        "def test_broken(benchmark):\n"
        "    raise RuntimeError('broken')\n"
    )
    return folder


def test_rows_come_back_from_pytest(benchmarks: Path) -> None:
    assert run_benchmarks(benchmarks, "blur and not broken", compiled=False) == Report({"threads": 1}, [], [ROW])


def test_the_command_runs_one_op_and_leaves_its_figures(
    benchmarks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(benchmarks.parent)
    assert main(["bench", "blur and not broken", "--suite", "benchmarks", "--no-compile", "--out", "figures"]) == 0
    assert Report.load(Path("figures/results.json")).rows == [ROW]
    assert Path("figures/bars.png").exists()
    captured = capsys.readouterr()
    assert "blur forward, photos, float32 on cpu" in captured.out
    assert captured.err.endswith("wrote figures/results.json and figures/bars.png\n")


def test_what_cannot_run_says_so(benchmarks: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no benchmark under .* has 'nothing' in its name"):
        run_benchmarks(benchmarks, "nothing")
    with pytest.raises(ModelError, match="failed"):
        run_benchmarks(benchmarks, "broken")
    with pytest.raises(SettingsError, match="run from a checkout"):
        run_benchmarks(tmp_path / "elsewhere")


def test_the_table_shows_ratios_and_their_mean() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    print_report(REPORT, console)
    counted, uncounted = console.export_text().split("paint forward")
    lines = {line.split()[0]: line.split()[1:] for line in counted.splitlines() if line.strip()}
    assert lines["8x8"] == ["1000.000", "4", "0.1", "50%", "3.00", "2.00"]
    assert lines["64x64"] == ["1000.000", "4", "0.1", "50%", "12.00"]
    assert lines["geometric"] == ["mean", "6.00", "2.00"]
    assert "roof" not in uncounted


def test_pictures_a_second_are_shown_where_rows_are_about_pictures() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    step = replace(UNCOUNTED, images=64, seconds={"ganart": 0.5, "dcgan step": 2.0})
    print_report(replace(REPORT, rows=[step, replace(step, shape="none", images=0)]), console)
    lines = {line.split()[0]: line.split()[1:] for line in console.export_text().splitlines() if line.strip()}
    assert lines["shape"] == ["ms", "images/s", "x", "dcgan", "step"]
    assert lines["8x8"] == ["500.000", "128", "4.00"]
    assert lines["none"] == ["500.000", "4.00"]
    assert lines["geometric"] == ["mean", "4.00"]


def test_the_picture_is_drawn_where_something_is_counted(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_bars(REPORT, tmp_path / "bars.png")
    with Image.open(tmp_path / "bars.png") as picture:
        assert picture.format == "PNG"
    draw_bars(replace(REPORT, rows=[UNCOUNTED]), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_comparison_lists_drops_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    REPORT.save(Path("benchmarks/results/2026-01-01.json"))
    REPORT.save(Path("benchmarks/latest/results.json"))
    assert main(["bench", "--compare", "benchmarks/latest"]) == 0
    slower = replace(ROW, seconds={**ROW.seconds, "ganart": 2.0})
    assert "machine" not in capsys.readouterr().err
    now = replace(REPORT, rows=[slower, BIG], machine={**REPORT.machine, "isa": "avx2"})
    now.save(Path("benchmarks/latest/results.json"))
    assert main(["bench", "--compare", "benchmarks/latest"]) == 1
    captured = capsys.readouterr()
    assert "times eager fell by 50%, from 3.00 to 1.50" in captured.out
    assert "share of roof fell by 50%" in captured.out
    assert "paint forward photos 8x8 float32 cpu: no longer there" in captured.out
    assert "another machine or software: isa was none and is avx2" in captured.err


def test_results_committed_last_are_found_by_their_date(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no committed results"):
        latest_results(tmp_path)
    for name in ("2026-09-30.json", "2027-01-01-b.json", "2026-10-01.json"):
        (tmp_path / name).touch()
    assert latest_results(tmp_path).name == "2027-01-01-b.json"
