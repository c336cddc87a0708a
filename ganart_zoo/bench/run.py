"""Runs the files under `benchmarks/` through pytest-benchmark and gathers their rows into a report."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from ganart_zoo.bench.report import Report, Row
from ganart_zoo.contract.errors import ModelError, SettingsError

__all__ = ["latest_results", "run_benchmarks"]

NO_TESTS_RAN = 5  # pytest's exit code


def run_benchmarks(folder: Path, only: str | None = None, *, compiled: bool = True) -> Report:
    """Run the benchmarks and return their figures.

    Args:
        folder: The repository's `benchmarks/`.
        only: A word that the names of the benchmarks to run contain, such as an op's name; None runs all.
        compiled: Whether to time torch.compile too, which takes minutes.

    Raises:
        SettingsError: There is no such folder, or no benchmark's name contains that word.
        ModelError: pytest-benchmark is missing, or a benchmark failed; pytest printed why.
    """
    if not (folder / "conftest.py").exists():
        raise SettingsError(f"{folder} holds no benchmarks; run from a checkout of the repository")
    if importlib.util.find_spec("pytest_benchmark") is None:
        raise ModelError("benchmarks need pytest-benchmark; pip install 'ganart-zoo[bench]'")
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch, "raw.json")
        command = [sys.executable, "-m", "pytest", str(folder), "-q", "--no-header", "--benchmark-quiet"]
        command += ["--override-ini=filterwarnings=default", f"--benchmark-json={raw}"]
        command += ["-k", only] if only else []
        command += [] if compiled else ["--no-compile"]
        code = subprocess.run(command, check=False).returncode
        if code == NO_TESTS_RAN:
            raise SettingsError(f"no benchmark under {folder} has {only!r} in its name; list {folder} to see the names")
        if code != 0:
            raise ModelError(f"the benchmarks under {folder} failed (pytest's exit code {code}); see above")
        data = json.loads(raw.read_text())
    rows = [Row(**entry["extra_info"]["row"]) for entry in data["benchmarks"]]
    return Report(data["ganart"]["machine"], data["ganart"]["roofs"], rows)


def latest_results(folder: Path) -> Path:
    """Return the newest of the committed results, whose names begin with their date.

    Raises:
        SettingsError: there are none.
    """
    found = sorted(folder.glob("*.json"))
    if not found:
        raise SettingsError(f"no committed results under {folder}; run 'make bench' and copy its results there")
    return found[-1]
