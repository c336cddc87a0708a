"""The forecast of memory against the peak of a process: at once, in tiles and in strips."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

for module in ("ganart_gatys", "ganart_deepdream", "ganart_faststyle", "tifffile"):
    pytest.importorskip(module)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process and starts it anew")
def test_forecasts_are_within_15_percent_of_the_peak(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    script = Path(__file__).with_name("forecasts.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    ratios = {each["case"]: round(each["peak"] / each["forecast"], 3) for each in found}
    assert len(ratios) == 9
    assert all(0.85 <= ratio <= 1.15 for ratio in ratios.values()), ratios
    assert [each["case"] for each in found if each["strips"]] == ["strips tif", "strips jpg"]
    assert all((each["tile"] is not None) == ("tiles" in each["case"] or each["strips"]) for each in found)
