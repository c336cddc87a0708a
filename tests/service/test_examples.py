"""The examples of embedding run. serve_client.py is run by http/test_server.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ganart_zoo.imaging import read_record

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("jobs_notebook.py", ["finished ", "stylize "]),
        ("jobs_asyncio.py", ["finished 1/1", "[1]", "[2]", "stopped: True"]),
    ],
)
def test_an_example_runs(name: str, said: list[str], photo: Path, painting: Path, tmp_path: Path) -> None:
    pytest.importorskip("ganart_gatys")
    found = subprocess.run(
        [sys.executable, EXAMPLES / name, photo, painting, "1"], cwd=tmp_path, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    for words in said:
        assert words in found.stdout
    for picture in (tmp_path / "painted").rglob("outputs/*.png"):
        assert read_record(picture).task == "stylize"
